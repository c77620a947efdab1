/* syscall.c: the system calls that guest/src uses, with the names and the errno of C. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* One errno: programs linked with this library have one thread. */
static int error;
int *__errno_location(void)
{
	return &error;
}

static long raw(long n, long a, long b, long c, long d, long e, long f)
{
	register long a7 __asm__("a7") = n;
	register long a0 __asm__("a0") = a;
	register long a1 __asm__("a1") = b;
	register long a2 __asm__("a2") = c;
	register long a3 __asm__("a3") = d;
	register long a4 __asm__("a4") = e;
	register long a5 __asm__("a5") = f;
	__asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5) : "memory");
	return a0;
}

long syscall(long n, ...)
{
	va_list list;
	long a[6];
	va_start(list, n);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	long r = raw(n, a[0], a[1], a[2], a[3], a[4], a[5]);
	if ((unsigned long)r < -4095UL)
		return r;
	errno = (int)-r;
	return -1;
}

void _exit(int status)
{
	for (;;)
		syscall(SYS_exit_group, status);
}
ssize_t read(int fd, void *buf, size_t n)
{
	return syscall(SYS_read, fd, buf, n);
}
ssize_t write(int fd, const void *buf, size_t n)
{
	return syscall(SYS_write, fd, buf, n);
}
int open(const char *path, int flags, ...)
{
	va_list list;
	va_start(list, flags);
	int mode = va_arg(list, int);
	va_end(list);
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
int close(int fd)
{
	return (int)syscall(SYS_close, fd);
}
int ftruncate(int fd, off_t size)
{
	return (int)syscall(SYS_ftruncate, fd, size);
}
int pipe(int fds[2])
{
	return (int)syscall(SYS_pipe2, fds, 0);
}
pid_t fork(void)
{
	return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}
pid_t getpid(void)
{
	return (pid_t)syscall(SYS_getpid);
}
pid_t waitpid(pid_t pid, int *status, int options)
{
	return (pid_t)syscall(SYS_wait4, pid, status, options, 0);
}
int kill(pid_t pid, int sig)
{
	return (int)syscall(SYS_kill, pid, sig);
}
int prctl(int option, ...)
{
	va_list list;
	long a[4];
	va_start(list, option);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	return (int)syscall(SYS_prctl, option, a[0], a[1], a[2], a[3]);
}
void *mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
	return (void *)syscall(SYS_mmap, addr, size, prot, flags, fd, offset);
}
int munmap(void *addr, size_t size)
{
	return (int)syscall(SYS_munmap, addr, size);
}
int mprotect(void *addr, size_t size, int prot)
{
	return (int)syscall(SYS_mprotect, addr, size, prot);
}
int madvise(void *addr, size_t size, int advice)
{
	return (int)syscall(SYS_madvise, addr, size, advice);
}
int memfd_create(const char *name, unsigned flags)
{
	return (int)syscall(SYS_memfd_create, name, flags);
}
int socketpair(int domain, int type, int protocol, int fds[2])
{
	return (int)syscall(SYS_socketpair, domain, type, protocol, fds);
}
ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	return syscall(SYS_sendmsg, fd, msg, flags);
}
ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	return syscall(SYS_recvmsg, fd, msg, flags);
}
int clock_gettime(clockid_t clock, struct timespec *ts)
{
	return (int)syscall(SYS_clock_gettime, clock, ts);
}

/* The kernel's struct sigaction: riscv64 has no restorer, handlers return through the vDSO. */
struct kernel_sigaction {
	void *handler;
	unsigned long flags;
	unsigned long mask;
};

int sigaction(int sig, const struct sigaction *new, struct sigaction *old)
{
	struct kernel_sigaction knew, kold;
	if (new) {
		knew.handler = (void *)new->sa_sigaction;
		knew.flags = (unsigned)new->sa_flags;
		memcpy(&knew.mask, &new->sa_mask, sizeof(knew.mask));
	}
	if (syscall(SYS_rt_sigaction, sig, new ? &knew : NULL, old ? &kold : NULL, sizeof(knew.mask)))
		return -1;
	if (old) {
		memset(old, 0, sizeof(*old));
		old->sa_sigaction = (void (*)(int, siginfo_t *, void *))kold.handler;
		old->sa_flags = (int)kold.flags;
		memcpy(&old->sa_mask, &kold.mask, sizeof(kold.mask));
	}
	return 0;
}

int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	return (int)syscall(SYS_rt_sigprocmask, how, set, old, 8);
}

char *getenv(const char *name)
{
	size_t n = strlen(name);
	for (char **p = environ; *p; p++)
		if (!strncmp(*p, name, n) && (*p)[n] == '=')
			return *p + n + 1;
	return NULL;
}
