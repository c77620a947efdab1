/* proc-other.c: /proc/PID of other processes — rights, zombies, those that are gone — and links to open files: reading, opening, following. */
#include "check.h"
#include <sys/mount.h>
#include <dirent.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/vfs.h>

static char text[65536];

static const char *at(pid_t pid, const char *name)
{
	static char path[2][256];
	static int turn;
	turn ^= 1;
	snprintf(path[turn], 256, "/proc/%d/%s", pid, name);
	return path[turn];
}

static void show_read(const char *name, const char *path)
{
	int fd = open(path, O_RDONLY);
	if (fd < 0) {
		printf("%s: open %s\n", name, error_name(errno));
		return;
	}
	memset(text, 0, sizeof text);
	long n = read(fd, text, sizeof text - 1);
	if (n < 0)
		printf("%s: read %s\n", name, error_name(errno));
	else
		printf("%s: %s\n", name, n ? "something" : "nothing");
	close(fd);
}

static const char *files[] = { "status", "stat", "statm", "cmdline", "comm", "limits", "maps", "smaps", "smaps_rollup", "environ", "auxv", "io", "mem", "pagemap",
			       "personality", "syscall", "wchan", "oom_score", "oom_score_adj", "coredump_filter", "mounts", "mountinfo", "mountstats", "cgroup",
			       "schedstat", "timerslack_ns", "clear_refs" };

static void show_link(const char *name, const char *path)
{
	memset(text, 0, sizeof text);
	if (readlink(path, text, sizeof text - 1) < 0)
		printf("%s: %s\n", name, error_name(errno));
	else
		printf("%s: %s\n", name, text);
}

static void show_list(const char *name, const char *path)
{
	DIR *d = opendir(path);
	int n = 0;
	if (!d) {
		printf("%s: opendir %s\n", name, error_name(errno));
		return;
	}
	errno = 0;
	while (readdir(d))
		n++;
	printf("%s: %d entries, %s\n", name, n, error_name(errno));
	closedir(d);
}

static void show_all(const char *who, pid_t pid)
{
	printf("%s\n", who);
	for (unsigned i = 0; i < sizeof files / sizeof *files; i++)
		show_read(files[i], at(pid, files[i]));
	show_link("cwd", at(pid, "cwd"));
	show_link("root", at(pid, "root"));
	printf("exe: %s\n", readlink(at(pid, "exe"), text, sizeof text) > 0 ? "a name" : error_name(errno));
	show_list("fd", at(pid, "fd"));
	show_list("fdinfo", at(pid, "fdinfo"));
	show_list("task", at(pid, "task"));
	printf("fd/0: %s\n", readlink(at(pid, "fd/0"), text, sizeof text) > 0 ? "a name" : error_name(errno));
	show_read("fdinfo/0", at(pid, "fdinfo/0"));
	show("stat of cwd", stat(at(pid, "cwd/."), &(struct stat){ 0 }));
	show("open of exe", close(open(at(pid, "exe"), O_RDONLY)));
	show("kill 0", kill(pid, 0));
}

static void show_owner(const char *name, const char *path)
{
	struct stat st;
	if (lstat(path, &st))
		printf("%s: %s\n", name, error_name(errno));
	else
		printf("%s: %o uid %d gid %d\n", name, st.st_mode, st.st_uid, st.st_gid);
}

static void others(void)
{
	int go[2], ready[2];
	char byte;
	if (pipe(go) || pipe(ready))
		return;
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		dup2(go[0], 0);
		for (int fd = 3; fd < 10; fd++)
			if (fd != ready[1])
				close(fd);
		chdir("/tmp");
		setresgid(7, 7, 7);
		setresuid(5, 5, 5);
		write(ready[1], "x", 1);
		read(0, &byte, 1);
		prctl(PR_SET_DUMPABLE, 1);
		write(ready[1], "x", 1);
		read(0, &byte, 1);
		_exit(3);
	}
	close(go[0]);
	read(ready[0], &byte, 1);
	show_owner("the directory", at(child, ""));
	show_owner("maps of a process that changed its ids", at(child, "maps"));
	show_owner("its fd", at(child, "fd"));
	write(go[1], "x", 1);
	read(ready[0], &byte, 1);
	show_owner("dumpable again", at(child, "maps"));
	show_owner("fd/0", at(child, "fd/0"));
	show_owner("task", at(child, "task"));
	memset(text, 0, sizeof text);
	readlink(at(child, "fd/0"), text, 100);
	printf("%.5s\n", text);
	show_all("root looks", child);
	/* another user; one with the same ids; a thread of the same user without the capability */
	in_child(
		setresgid(8, 8, 8), setresuid(6, 6, 6), show_all("a stranger looks", child), show("stat shows no addresses", ({
			int fd = open(at(child, "stat"), O_RDONLY);
			read(fd, text, 1000);
			close(fd);
			char *p = strrchr(text, ')');
			for (int i = 0; i < 24; i++)
				p = strchr(p + 1, ' ');
			atol(p);
		})));
	in_child(setresgid(7, 7, 7), setresuid(5, 5, 5), prctl(PR_SET_DUMPABLE, 1),
		 show_read("the same user: maps", at(child, "maps")), show_read("environ", at(child, "environ")), show_list("fd", at(child, "fd")),
		 show_read("own maps", "/proc/self/maps"), show_read("of root", at(getppid(), "maps")), show_owner("own fd", "/proc/self/fd"),
		 show("oom_score_adj of another", open(at(getppid(), "oom_score_adj"), O_WRONLY)), show("lower one's own", ({
			 int fd = open("/proc/self/oom_score_adj", O_WRONLY);
			 write(fd, "10", 2) + write(fd, "9", 1);
		 })));
	in_child(setresgid(7, 7, 7), setresuid(5, 5, 5), show_read("not dumpable: own maps", "/proc/self/maps"), show_list("own fd", "/proc/self/fd"),
		 show("own comm", open("/proc/self/comm", O_WRONLY) >= 0));

	int open_files[6];
	const char *names[6] = { "stat", "maps", "mem", "environ", "cmdline", "status" };
	for (int i = 0; i < 6; i++)
		open_files[i] = open(at(child, names[i]), O_RDONLY);
	int directory = open(at(child, ""), O_RDONLY | O_DIRECTORY), tasks = open(at(child, "task"), O_RDONLY | O_DIRECTORY);
	write(go[1], "x", 1);
	siginfo_t info;
	waitid(P_PID, child, &info, WEXITED | WNOWAIT);
	show_all("a zombie", child);
	memset(text, 0, sizeof text);
	int fd = open(at(child, "status"), O_RDONLY);
	read(fd, text, 4000);
	close(fd);
	printf("%.*s", (int)(strchr(strstr(text, "State:"), '\n') + 1 - text), text);
	printf("%s %s\n", strstr(text, "Vm") ? "memory" : "no memory", strstr(text, "FDSize:\t0\n") ? "no files" : "files");
	for (int i = 0; i < 6; i++)
		printf("open %s of a zombie: %ld %s\n", names[i], (long)(errno = 0, pread(open_files[i], text, 100, i == 2 ? 0x10000 : 0)), error_name(errno));
	show("exit code in stat", (pread(open_files[0], text, 1000, 0), atoi(strrchr(text, ' '))));
	waitpid(child, NULL, 0);
	for (int i = 0; i < 6; i++)
		printf("open %s of a dead one: %ld %s\n", names[i], (long)(errno = 0, pread(open_files[i], text, 100, i == 2 ? 0x10000 : 0)), error_name(errno));
	show("openat its directory", openat(directory, "stat", O_RDONLY));
	show("getdents", syscall(SYS_getdents64, directory, text, 4000));
	show("getdents of task", syscall(SYS_getdents64, tasks, text, 4000));
	show("fstat", fstat(directory, &(struct stat){ 0 }));
	show("fchdir", fchdir(directory));
	show("status", access(at(child, "status"), F_OK));
	for (int i = 0; i < 6; i++)
		close(open_files[i]);
	close(directory);
	close(tasks);
	close(go[1]);
	close(ready[0]);
	close(ready[1]);
}

static void show_reopened(const char *name, int fd, int flags)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	errno = 0;
	int again = open(path, flags);
	if (again < 0) {
		printf("%s: %s\n", name, error_name(errno));
		return;
	}
	struct stat a, b;
	fstat(fd, &a);
	fstat(again, &b);
	printf("%s: opened, %s file, flags %o\n", name, a.st_ino == b.st_ino && a.st_dev == b.st_dev ? "the same" : "another", fcntl(again, F_GETFL));
	close(again);
}

static int is_inode(int fd, unsigned long inode)
{
	struct stat st;
	return !fstat(fd, &st) && st.st_ino == inode;
}

static void show_fd(const char *name, int fd)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	memset(text, 0, sizeof text);
	readlink(path, text, 1000);
	char *number = strstr(text, ":[");
	if (number && number[2] >= '0' && number[2] <= '9')
		strcpy(number + 2, is_inode(fd, atol(number + 2)) ? "its inode]" : "?]");
	printf("%s: %s", name, text);
	lstat(path, &st);
	printf(" mode %o size %ld", st.st_mode, (long)st.st_size);
	if (stat(path, &st))
		printf(" stat %s\n", error_name(errno));
	else
		printf(" leads to %o\n", st.st_mode);
}

static void show_info(const char *name, int fd)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	memset(text, 0, sizeof text);
	int f = open(path, O_RDONLY);
	read(f, text, 4000);
	close(f);
	printf("%s\n", name);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (strncmp(line, "mnt_id", 6) && strncmp(line, "ino:", 4) && strncmp(line, " tfd", 4) && strncmp(line, "tfd", 3) && !strstr(line, "eventfd-id"))
			printf("  %s\n", line);
}

static void links(void)
{
	int pipes[2], sockets[2];
	chdir("/tmp");
	int file = open("proc-other.file", O_CREAT | O_TRUNC | O_RDWR | O_APPEND, 0600);
	int readonly = open("proc-other.file", O_RDONLY | O_CLOEXEC), writeonly = open("proc-other.file", O_WRONLY), path = open("proc-other.file", O_PATH);
	int directory = open("/tmp", O_RDONLY | O_DIRECTORY);
	write(file, "content", 7);
	if (pipe2(pipes, O_NONBLOCK) || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		return;
	int event = eventfd(5, EFD_SEMAPHORE), poll = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	int signals = signalfd(-1, &set, 0), memory = memfd_create("a name", MFD_ALLOW_SEALING), null = open("/dev/null", O_RDWR);
	show_fd("file", file);
	show_fd("read-only", readonly);
	show_fd("write-only", writeonly);
	show_fd("O_PATH", path);
	show_fd("directory", directory);
	show_fd("pipe", pipes[0]);
	show_fd("pipe", pipes[1]);
	show_fd("socket", sockets[0]);
	show_fd("eventfd", event);
	show_fd("epoll", poll);
	show_fd("timerfd", timer);
	show_fd("signalfd", signals);
	show_fd("memfd", memory);
	show_fd("/dev/null", null);
	show_reopened("file for reading", file, O_RDONLY);
	show_reopened("file for both", readonly, O_RDWR);
	show_reopened("file O_PATH", readonly, O_PATH);
	show_reopened("O_PATH for reading", path, O_RDONLY);
	show_reopened("O_NOFOLLOW", readonly, O_RDONLY | O_NOFOLLOW);
	show_reopened("O_EXCL", readonly, O_RDONLY | O_CREAT | O_EXCL);
	show_reopened("directory", directory, O_RDONLY | O_DIRECTORY);
	show_reopened("directory for writing", directory, O_RDWR);
	show_reopened("read end for writing", pipes[0], O_WRONLY | O_NONBLOCK);
	show_reopened("write end for reading", pipes[1], O_RDONLY | O_NONBLOCK);
	show_reopened("socket", sockets[0], O_RDWR);
	show_reopened("eventfd", event, O_RDWR);
	show_reopened("epoll", poll, O_RDWR);
	show_reopened("memfd read-only", memory, O_RDONLY);
	show_reopened("memfd", memory, O_RDWR);
	show_reopened("/dev/null", null, O_RDONLY);
	show("truncate through it", (snprintf(text, 100, "/proc/self/fd/%d", readonly), truncate(text, 3)));
	unlink("proc-other.file");
	show_fd("unlinked", file);
	show_reopened("unlinked", file, O_RDWR);
	show_reopened("unlinked O_PATH", path, O_RDWR);
	show("linkat", (snprintf(text, 100, "/proc/self/fd/%d", file), linkat(AT_FDCWD, text, AT_FDCWD, "/tmp/linked", AT_SYMLINK_FOLLOW)));
	mkdir("proc-other.dir", 0700);
	int gone = open("proc-other.dir", O_RDONLY | O_DIRECTORY);
	rmdir("proc-other.dir");
	show_fd("removed directory", gone);
	fchdir(gone);
	show_link("cwd", "/proc/self/cwd");
	chdir("/");

	lseek(readonly, 2, SEEK_SET);
	show_info("file", file);
	show_info("read-only", readonly);
	show_info("pipe", pipes[0]);
	show_info("socket", sockets[0]);
	show_info("eventfd", event);
	show_info("signalfd", signals);
	struct itimerspec when = { { 0, 0 }, { 0, 0 } };
	timerfd_settime(timer, 0, &when, NULL);
	show_info("timerfd", timer);
	show("name 01", access("/proc/self/fd/01", F_OK));
	show("name -1", access("/proc/self/fd/-1", F_OK));
	show("closed", access("/proc/self/fd/99", F_OK));
	struct stat st;
	stat("/proc/self/fd", &st);
	DIR *d = opendir("/proc/self/fd");
	int n = 0;
	while (readdir(d))
		n++;
	closedir(d);
	show("size of fd is their number", st.st_size == n - 3);

	/* Through exe and root */
	struct stat a, b;
	show("stat of exe", stat("/proc/self/exe", &a));
	printf("mode %o\n", a.st_mode & S_IFMT);
	show("lstat", lstat("/proc/self/exe", &b));
	printf("mode %o size %ld\n", b.st_mode, (long)b.st_size);
	show("readlink into 3 bytes", readlink("/proc/self/exe", text, 3));
	show("root", stat("/proc/self/root", &a) | stat("/", &b));
	show("is /", a.st_ino == b.st_ino);
	show("..", stat("/proc/self/root/..", &a));
	show("is / too", a.st_ino == b.st_ino);
	/* Namespaces: the same for everybody, and not much to open. */
	show_link("ns/pid", "/proc/self/ns/pid");
	show_link("ns/uts", "/proc/self/ns/uts");
	show("a namespace", stat("/proc/self/ns/net", &a) | stat("/proc/1/ns/net", &b));
	show("is the same", a.st_ino == b.st_ino && a.st_dev == b.st_dev);
	printf("mode %o size %ld\n", a.st_mode, (long)a.st_size);
	int ns = open("/proc/self/ns/net", O_RDONLY);
	show("read it", read(ns, text, 1));
	show("open for writing", open("/proc/self/ns/net", O_RDWR));
	snprintf(text, 100, "/proc/self/fd/%d", ns);
	show_link("its link", strdup(text));
	snprintf(text, 100, "/proc/self/task/%d/children", getpid());
	char *children = strdup(text);
	show("children", open("/proc/self/children", O_RDONLY));
	pid_t child = fork();
	if (child == 0)
		pause();
	int list = open(children, O_RDONLY);
	memset(text, 0, sizeof text);
	long n_children = read(list, text, 100);
	show("one child", atoi(text) == child && text[n_children - 1] == ' ');
	kill(child, SIGKILL);
	ended(child);
	show("none", pread(list, text, 100, 0));
	struct statfs fs;
	statfs("/proc/self/ns/net", &fs);
	printf("type %lx\n", (long)fs.f_type);
	statfs("/proc", &fs);
	printf("type %lx bsize %ld namelen %ld\n", (long)fs.f_type, (long)fs.f_bsize, (long)fs.f_namelen);
	show("self", (readlink("/proc/self", text, 100), atoi(text) == getpid()));
	show("write to exe", open("/proc/self/exe", O_WRONLY));
	show("a pid with a zero", access("/proc/01", F_OK));
	show("pid 0", access("/proc/0", F_OK));
	show("hostname", open("/proc/sys/kernel/hostname", O_RDWR) >= 0);
	show("ostype", open("/proc/sys/kernel/ostype", O_RDWR));
	show("drop_caches", open("/proc/sys/vm/drop_caches", O_RDONLY));
	in_child(setresuid(5, 5, 5), show("hostname for others", open("/proc/sys/kernel/hostname", O_RDWR)));
}

int main(void)
{
	chmod("/", 0755);
	/* So that there are control groups to be in, as on our kernel from the start. */
	mkdir("/tmp/cg", 0755);
	mount("none", "/tmp/cg", "cgroup2", 0, "");
	others();
	links();
	return 0;
}
