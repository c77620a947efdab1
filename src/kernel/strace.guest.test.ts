// What --strace prints for a whole program: lines as strace(1) -f writes them (man strace), with addresses left open.
import { describe, expect, test } from "vitest";
import { buildGuest, runGuest, skipReason } from "../testing/guest.ts";

const skip = skipReason();
if (skip !== false) console.warn(`strace of guest programs skipped: ${skip}`);

const PROGRAM = `
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
static void handler(int sig) { (void)sig; }
int main(void)
{
	int p[2], status;
	char b[8];
	open("/etc/nothing\\n", O_RDONLY | O_CLOEXEC);
	open("/tmp/x", O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (pipe2(p, O_CLOEXEC)) return 1;
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
	sigaction(SIGUSR1, &action, NULL);
	sigset_t mask;
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	void *q = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(q, 4096);
	pid_t child = fork();
	if (!child) {
		usleep(1000);
		if (write(p[1], "hey\\0", 4) != 4) _exit(1);
		_exit(3);
	}
	if (read(p[0], b, 8) != 4) return 1;
	waitpid(child, &status, 0);
	struct pollfd f = { p[0], POLLIN, 0 };
	poll(&f, 1, 0);
	close(77);
	kill(getpid(), SIGUSR1);
	char *argv[] = { "/bin/nope", "a b", NULL };
	execv(argv[0], argv);
	*(volatile int *)16 = 0;
}
`;

describe.skipIf(skip !== false)("strace", () => {
  test("calls, waits in two parts, signals and the end", async () => {
    const lines: string[] = [];
    const result = await runGuest(buildGuest(PROGRAM), { strace: (line) => lines.push(line), seed: 1 });
    expect(result.signal).toBe("SIGSEGV");
    const text = lines.map((line) => line.replaceAll(/0x[0-9a-f]{4,}/g, "0xADDR"));
    const from = text.findIndex((line) => line.startsWith("openat"));
    const parent = text.slice(from).filter((line) => !line.startsWith("[pid     3]"));
    expect(parent).toEqual([
      'openat(AT_FDCWD, "/etc/nothing\\n", O_RDONLY|O_CLOEXEC) = -1 ENOENT (No such file or directory)',
      'openat(AT_FDCWD, "/tmp/x", O_RDWR|O_CREAT|O_TRUNC, 0644) = 3',
      "pipe2([4, 5], O_CLOEXEC)                = 0",
      "rt_sigaction(SIGUSR1, {sa_handler=0xADDR, sa_mask=[], sa_flags=SA_RESTART}, NULL, 8) = 0",
      "rt_sigprocmask(SIG_BLOCK, [INT], NULL, 8) = 0",
      "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0xADDR",
      "munmap(0xADDR, 4096)            = 0",
      "[pid     2] clone(CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, NULL, NULL, NULL, 0xADDR) = 3",
      "[pid     2] read(4, <unfinished ...>",
      '[pid     2] <... read resumed>"hey\\0", 8) = 4',
      "wait4(3, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], 0, NULL) = 3",
      "ppoll([{fd=4, events=POLLIN}], 1, {tv_sec=0, tv_nsec=0}, NULL, 0) = 0",
      "close(77)                               = -1 EBADF (Bad file descriptor)",
      "getpid()                                = 2",
      "kill(2, SIGUSR1)                        = 0",
      "--- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_USER, si_pid=2, si_uid=0} ---",
      "rt_sigreturn()                          = 0",
      'execve("/bin/nope", ["/bin/nope", "a b"], 0xADDR /* 2 vars */) = -1 ENOENT (No such file or directory)',
      "--- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0x10} ---",
      "+++ killed by SIGSEGV +++",
    ]);
    const child = text.filter((line) => line.startsWith("[pid     3]")).slice(-4);
    expect(child).toEqual([
      "[pid     3] clock_nanosleep(CLOCK_REALTIME, 0, {tv_sec=0, tv_nsec=1000000}, NULL) = 0",
      '[pid     3] write(5, "hey\\0", 4)        = 4',
      "[pid     3] exit_group(3)               = ?",
      "[pid     3] +++ exited with 3 +++",
    ]);
  });

  test("the ioctls of msharefs", async () => {
    const program = buildGuest(`
#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>
int main(void)
{
	struct { uint64_t region_offset, size, offset; uint32_t prot, flags; int32_t fd; } map = { 4096, 8192, 0, 3, 0x31, -1 };
	uint64_t range[2] = { 4096, 8192 };
	mount("msharefs", "/sys/fs/mshare", "msharefs", 0, 0);
	int fd = open("/sys/fs/mshare/a", O_RDWR | O_CREAT, 0600);
	if (ftruncate(fd, 512L << 30)) return 1;
	ioctl(fd, 0x40287800, &map);
	ioctl(fd, 0x40107801, range);
	ioctl(fd, 0x40107801, 0);
	return 0;
}
`);
    const lines: string[] = [];
    await runGuest(program, { strace: (line) => lines.push(line) });
    const object = "offset=0, prot=PROT_READ|PROT_WRITE, flags=MAP_SHARED|MAP_FIXED|MAP_ANONYMOUS, fd=-1";
    expect(lines.filter((line) => line.startsWith("ioctl(3"))).toEqual([
      `ioctl(3, MSHAREFS_CREATE_MAPPING, {region_offset=0x1000, size=8192, ${object}}) = 0`,
      "ioctl(3, MSHAREFS_UNMAP, {region_offset=0x1000, size=8192}) = 0",
      "ioctl(3, MSHAREFS_UNMAP, NULL)          = -1 EFAULT (Bad address)",
    ]);
  });
});
