/* The cgroup2 file system: making, removing and moving, its files, their errors. */
#include "cgroup.h"
#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <sys/statfs.h>

#define write_shows(group, file, text) show(group "/" file " < " text, cg_write(group, file, text))

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The files of the core and of the controllers memory and pids, without what we do not have. */
static void list(const char *group)
{
	static const char *const left_out[] = {"cgroup.freeze", "cgroup.pressure", "memory.numa_stat", "memory.pressure", NULL};
	char path[300], *names[200];
	int n = 0;
	snprintf(path, sizeof(path), CG "/%s", group);
	DIR *dir = opendir(path);
	for (struct dirent *e; (e = readdir(dir));) {
		bool wanted = !strncmp(e->d_name, "cgroup.", 7) || !strncmp(e->d_name, "memory.", 7) || !strncmp(e->d_name, "pids.", 5);
		for (int i = 0; left_out[i]; i++)
			wanted &= strcmp(e->d_name, left_out[i]) != 0;
		if (wanted && !strstr(e->d_name, "zswap"))
			names[n++] = strdup(e->d_name);
	}
	closedir(dir);
	qsort(names, n, sizeof(*names), compare);
	for (int i = 0; i < n; i++) {
		struct stat st;
		snprintf(path, sizeof(path), CG "/%s/%s", group, names[i]);
		stat(path, &st);
		printf("%s%s%s %o %ld\n", group, *group ? "/" : "", names[i], st.st_mode, (long)st.st_size);
	}
}

static void has(const char *group, const char *file, const char *word)
{
	char text[1000];
	bool found = false;
	snprintf(text, sizeof(text), "%s", cg_text(group, file));
	for (char *at = strtok(text, " \n"); at; at = strtok(NULL, " \n"))
		found |= !strcmp(at, word);
	printf("%s/%s has %s: %d\n", group, file, word, found);
}

static void contents(const char *group, const char *file)
{
	printf("%s/%s:\n%s", group, file, cg_text(group, file));
}

static void own_group(const char *when)
{
	char text[300] = "";
	int fd = open("/proc/self/cgroup", O_RDONLY);
	text[read(fd, text, sizeof(text) - 1)] = 0;
	close(fd);
	printf("%s: %s", when, text);
}

static pid_t sleeper(void)
{
	pid_t pid = fork();
	if (pid == 0)
		for (;;)
			pause();
	return pid;
}

static int move_to(pid_t pid, const char *group)
{
	char text[20];
	snprintf(text, sizeof(text), "%d", pid);
	return cg_write(group, "cgroup.procs", text);
}

static pid_t clone_into(const char *group, unsigned long long flags, int fd)
{
	struct {
		uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
	} args = {.flags = 0x200000000ULL | flags, .exit_signal = SIGCHLD};
	char path[100];
	snprintf(path, sizeof(path), CG "/%s", group ? group : "");
	args.cgroup = group ? open(path, O_RDONLY | O_DIRECTORY) : fd;
	fflush(stdout);
	pid_t pid = syscall(SYS_clone3, &args, sizeof(args));
	int error = errno;
	if (group && pid)
		close(args.cgroup);
	errno = error;
	return pid;
}

static void control(void)
{
	has("", "cgroup.controllers", "memory");
	has("", "cgroup.controllers", "pids");
	write_shows("", "cgroup.subtree_control", "+foo");
	write_shows("", "cgroup.subtree_control", "memory");
	write_shows("", "cgroup.subtree_control", "+memory +pids");
	has("", "cgroup.subtree_control", "memory");
	show("mkdir a", cg_make("a"));
	show("mkdir a again", cg_make("a"));
	list("");
	list("a");
	contents("a", "cgroup.controllers");
	contents("a", "cgroup.subtree_control");
	show("mkdir a/b", cg_make("a/b"));
	contents("a/b", "cgroup.controllers");
	list("a/b");
	write_shows("a/b", "cgroup.subtree_control", "+memory");
	write_shows("a", "cgroup.subtree_control", "+memory -memory +memory");
	contents("a", "cgroup.subtree_control");
	write_shows("a/b", "cgroup.subtree_control", "+memory");
	write_shows("a", "cgroup.subtree_control", "-memory");
	write_shows("a/b", "cgroup.subtree_control", "-memory");
	write_shows("a/b", "cgroup.subtree_control", "+memory,+pids");
	write_shows("a", "cgroup.subtree_control", "+pids  -memory");
	contents("a", "cgroup.subtree_control");
	write_shows("a", "cgroup.subtree_control", "");
	write_shows("a", "cgroup.subtree_control", "+");
}

static void numbers(void)
{
	static const char *const values[] = {"max", "4096", "4095", "12288\n", "1k", "1M", "1m", "0x3000", "010000", "09", "1.5M", "-1", "+5", "x", "K", "1MB",
					     "99999999999999999", "", " 8192 ", NULL};
	static const char *const files[] = {"memory.max", "memory.high", "memory.low", "memory.min", "memory.swap.max", "memory.swap.high", NULL};
	contents("a", "memory.events");
	contents("a", "memory.events.local");
	contents("a", "memory.swap.events");
	for (int i = 0; values[i]; i++)
		for (int f = 0; files[f]; f++) {
			if (f > 0 && i > 6)
				continue;
			int error = cg_write("a", files[f], values[i]) ? errno : 0;
			char text[100];
			snprintf(text, sizeof(text), "%s", cg_text("a", files[f]));
			text[strcspn(text, "\n")] = 0;
			printf("%s < '%s': %s, %s\n", files[f], values[i], error_name(error), text);
		}
	for (int f = 0; files[f]; f++)
		cg_write("a", files[f], f == 2 || f == 3 ? "0" : "max");
	write_shows("a", "memory.oom.group", "1");
	write_shows("a", "memory.oom.group", "2");
	write_shows("a", "memory.oom.group", "x");
	contents("a", "memory.oom.group");
	write_shows("a", "memory.oom.group", "0");
	write_shows("a", "memory.current", "1");
	write_shows("a", "memory.stat", "1");
	write_shows("a", "memory.reclaim", "0");
	write_shows("a", "memory.reclaim", "x");
	write_shows("a", "memory.peak", "reset");
	write_shows("a", "pids.max", "x");
	write_shows("a", "pids.max", "-1");
	write_shows("a", "pids.max", "7");
	contents("a", "pids.max");
	write_shows("a", "pids.max", "max");
	write_shows("a", "cgroup.max.depth", "-1");
	write_shows("a", "cgroup.max.depth", "x");
	write_shows("a", "cgroup.max.depth", "0");
	contents("a", "cgroup.max.depth");
	show("mkdir beyond the depth", cg_make("a/c"));
	write_shows("a", "cgroup.max.depth", "max");
	write_shows("", "cgroup.max.descendants", "2");
	show("mkdir beyond the number", cg_make("c"));
	write_shows("", "cgroup.max.descendants", "max");
	write_shows("a", "cgroup.kill", "2");
	write_shows("a", "cgroup.kill", "x");
	write_shows("a", "cgroup.type", "foo");
	write_shows("a", "cgroup.type", "domain");
	contents("a", "cgroup.type");
	contents("a", "pids.events");
}

static void names(void)
{
	struct stat st;
	struct statfs fs;
	statfs(CG, &fs);
	printf("type %lx bsize %ld namelen %ld\n", (long)fs.f_type, (long)fs.f_bsize, (long)fs.f_namelen);
	stat(CG, &st);
	printf("root %o nlink %d\n", st.st_mode, (int)st.st_nlink);
	stat(CG "/a", &st);
	printf("a %o nlink %d size %ld\n", st.st_mode, (int)st.st_nlink, (long)st.st_size);
	show("open(O_CREAT)", open(CG "/a/new", O_CREAT | O_WRONLY, 0644));
	show("symlink", symlink("b", CG "/a/link"));
	show("rename", rename(CG "/a", CG "/e"));
	show("rename over", rename(CG "/a/b", CG "/a"));
	show("unlink", unlink(CG "/a/memory.max"));
	show("link", link(CG "/a/memory.max", CG "/a/m2"));
	show("mkfifo", mkfifo(CG "/a/fifo", 0644));
	show("mkdir memory.max", mkdir(CG "/a/memory.max", 0755));
	show("mkdir with a newline", mkdir(CG "/a/x\ny", 0755));
	show("rmdir of a file", rmdir(CG "/a/memory.max"));
	show("rmdir of the root", rmdir(CG));
	show("rmdir with children", rmdir(CG "/a"));
	show("chmod", chmod(CG "/a/memory.max", 0600));
	show("chown", chown(CG "/a", 5, 6));
	stat(CG "/a/memory.max", &st);
	printf("memory.max %o %d\n", st.st_mode, st.st_uid);
	stat(CG "/a", &st);
	printf("a %d %d\n", st.st_uid, st.st_gid);
	chown(CG "/a", 0, 0);
	show("read cgroup.kill", open(CG "/a/cgroup.kill", O_RDONLY) >= 0 ? (cg_text("a", "cgroup.kill"), errno == EINVAL ? 0 : errno) : -1);
	show("truncate", truncate(CG "/a/memory.max", 0));
	int fd = open(CG "/a/memory.max", O_RDWR | O_TRUNC);
	char text[20] = "";
	show("write", write(fd, "8M", 2));
	show("read after it", read(fd, text, sizeof(text)));
	show("pread", pread(fd, text, sizeof(text), 0));
	show("lseek end", lseek(fd, 0, SEEK_END));
	show("pwrite", pwrite(fd, "max", 3, 100));
	close(fd);
}

static void processes(void)
{
	own_group("at first");
	pid_t one = sleeper();
	/* Threaded controllers do not mind processes beside groups, but those groups are of no use then. */
	contents("a", "cgroup.subtree_control");
	show("into a, which controls pids", move_to(one, "a"));
	contents("a", "cgroup.type");
	contents("a/b", "cgroup.type");
	show("into a/b", move_to(one, "a/b"));
	write_shows("a", "cgroup.subtree_control", "+memory");
	write_shows("a", "cgroup.subtree_control", "-pids");
	contents("a/b", "cgroup.type");
	show("out of it", move_to(one, ""));
	write_shows("a", "cgroup.subtree_control", "+memory +pids");
	show("into a, which controls", move_to(one, "a"));
	write_shows("a", "cgroup.subtree_control", "-memory -pids");
	contents("a", "cgroup.events");
	show("into a", move_to(one, "a"));
	printf("a holds it: %d\n", atoi(cg_text("a", "cgroup.procs")) == one);
	printf("its thread: %d\n", atoi(cg_text("a", "cgroup.threads")) == one);
	contents("a", "cgroup.events");
	contents("a/b", "cgroup.events");
	show("rmdir with a process", rmdir(CG "/a/b/../../a"));
	show("into a/b", move_to(one, "a/b"));
	contents("a", "cgroup.events");
	contents("a", "cgroup.procs");
	show("rmdir a/b", rmdir(CG "/a/b"));
	write_shows("a", "cgroup.procs", "x");
	write_shows("a", "cgroup.procs", "-1");
	write_shows("a", "cgroup.procs", "99999999");
	write_shows("a", "cgroup.procs", "4000000");
	write_shows("a", "cgroup.threads", "x");
	char text[20];
	snprintf(text, sizeof(text), "%d", one);
	show("thread elsewhere", cg_write("a", "cgroup.threads", text));
	show("thread where it is", cg_write("a/b", "cgroup.threads", text));
	write_shows("a/b", "cgroup.subtree_control", "+pids");
	show("back to a", move_to(one, "a"));
	write_shows("a", "cgroup.subtree_control", "-pids");
	write_shows("a", "cgroup.subtree_control", "+memory");
	show("into a/b", move_to(one, "a/b"));
	write_shows("a", "cgroup.subtree_control", "+memory");
	show("back to a, which controls", move_to(one, "a"));
	show("clone into a, which controls", clone_into("a", 0, 0));
	show("clone into a file", clone_into(NULL, 0, 1));
	show("clone into nothing", clone_into(NULL, 0, 77));
	/* A child starts where its parent is, or where it is cloned into; threads of a process with it. */
	pid_t child = clone_into("a/b", 0, 0);
	if (child == 0) {
		own_group("cloned into a/b");
		fflush(stdout);
		pid_t grandchild = fork();
		if (grandchild == 0) {
			own_group("its child");
			fflush(stdout);
			_exit(0);
		}
		waitpid(grandchild, NULL, 0);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	child = fork();
	if (child == 0) {
		cg_write("a/b", "cgroup.procs", "0");
		own_group("moved itself");
		fflush(stdout);
		_exit(0);
	}
	siginfo_t info;
	waitid(P_PID, child, &info, WEXITED | WNOWAIT);
	snprintf(text, sizeof(text), "%d", child);
	show("a zombie moves nowhere", cg_write("", "cgroup.procs", text));
	printf("not listed: %d\n", strstr(cg_text("a/b", "cgroup.procs"), text) == NULL);
	waitpid(child, NULL, 0);

	struct pollfd poller = {.fd = open(CG "/a/cgroup.events", O_RDONLY), .events = POLLPRI};
	char events[100];
	show("poll before it is read", poll(&poller, 1, 0));
	read(poller.fd, events, sizeof(events));
	show("poll", poll(&poller, 1, 0));
	write_shows("a", "cgroup.kill", "1");
	int status;
	waitpid(one, &status, 0);
	printf("killed: %s\n", status_text(status));
	show("poll after that", poll(&poller, 1, 2000));
	printf("revents %x\n", poller.revents);
	memset(events, 0, sizeof(events));
	pread(poller.fd, events, sizeof(events) - 1, 0);
	printf("%s", events);
	show("poll again", poll(&poller, 1, 0));
	close(poller.fd);
}

/* pids.max counts threads, zombies too, in a group and those below it. */
static int forks(void)
{
	int made = 0;
	for (int i = 0; i < 5; i++) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(0);
		if (pid < 0)
			break;
		made++;
	}
	return made * 10 + (errno == EAGAIN);
}

static void pids(void)
{
	write_shows("a", "cgroup.subtree_control", "-memory");
	write_shows("a", "pids.max", "3");
	printf("forks with pids.max 3: %s\n", status_text(run_in("a/b", forks)));
	contents("a", "pids.events");
	contents("a", "pids.peak");
	for (int i = 0; i < 50 && cg_number("a", "pids.current") > 0; i++)
		usleep(10000);
	contents("a", "pids.current");
}

static void removal(void)
{
	int fd = open(CG "/a/b/cgroup.procs", O_RDWR);
	int dir = open(CG "/a/b", O_RDONLY | O_DIRECTORY);
	char text[20];
	show("rmdir a/b", cg_remove("a/b"));
	show("read of a file of it", read(fd, text, sizeof(text)));
	show("write", write(fd, "0", 1));
	show("clone into it", clone_into(NULL, 0, dir));
	show("mkdir in it", mkdirat(dir, "x", 0755));
	show("open in it", openat(dir, "cgroup.procs", O_RDONLY));
	pid_t child = fork();
	if (child == 0) {
		cg_make("gone");
		cg_write("gone", "cgroup.procs", "0");
		_exit(0);
	}
	siginfo_t info;
	waitid(P_PID, child, &info, WEXITED | WNOWAIT);
	show("rmdir with a zombie", cg_remove("gone"));
	char path[50];
	snprintf(path, sizeof(path), "/proc/%d/cgroup", child);
	int proc = open(path, O_RDONLY);
	char line[100] = "";
	read(proc, line, sizeof(line) - 1);
	printf("the zombie's: %s", line);
	waitpid(child, NULL, 0);
	show("rmdir a", cg_remove("a"));
	printf("descendants %ld\n", cg_key("", "cgroup.stat", "nr_descendants"));
	show("umount", umount(CG));
}

int main(void)
{
	mount_groups();
	control();
	numbers();
	names();
	processes();
	pids();
	removal();
	return 0;
}
