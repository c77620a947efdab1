/* cgroup.h: reading and writing files of control groups, for the programs cgroup-*.c. The tree is mounted at CG by the program itself: on Linux in a virtual
 * machine nobody else has. */
#ifndef CGROUP_H
#define CGROUP_H
#include "check.h"
#include <stdbool.h>
#include <sys/mount.h>

#define CG "/tmp/cg"

static unused void mount_groups(void)
{
	mkdir(CG, 0755);
	if (mount("none", CG, "cgroup2", 0, "nsdelegate,memory_recursiveprot")) {
		perror("mount cgroup2");
		exit(2);
	}
}

/* The whole text of GROUP/FILE in a static buffer; "" and errno if it cannot be read. */
static unused const char *cg_text(const char *group, const char *file)
{
	static char text[16384];
	char path[300];
	snprintf(path, sizeof(path), CG "/%s/%s", group, file);
	text[0] = 0;
	int fd = open(path, O_RDONLY);
	if (fd < 0)
		return text;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	int error = errno;
	close(fd);
	errno = error;
	text[n < 0 ? 0 : n] = 0;
	return text;
}

/* The number in a file of one number; -1 for "max" and what cannot be read. */
static unused long cg_number(const char *group, const char *file)
{
	const char *text = cg_text(group, file);
	return *text >= '0' && *text <= '9' ? atol(text) : -1;
}

/* The number after KEY in a file of "key number" lines; -1 if there is none. */
static unused long cg_key(const char *group, const char *file, const char *key)
{
	size_t length = strlen(key);
	for (const char *line = cg_text(group, file); line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, key, length) && line[length] == ' ')
			return atol(line + length);
	}
	return -1;
}

/* 0, or -1 with errno. */
static unused int cg_write(const char *group, const char *file, const char *text)
{
	char path[300];
	snprintf(path, sizeof(path), CG "/%s/%s", group, file);
	int fd = open(path, O_WRONLY);
	if (fd < 0)
		return -1;
	ssize_t n = write(fd, text, strlen(text));
	int error = errno;
	close(fd);
	errno = error;
	return n == (ssize_t)strlen(text) ? 0 : -1;
}

static unused int cg_make(const char *group)
{
	char path[300];
	snprintf(path, sizeof(path), CG "/%s", group);
	return mkdir(path, 0755);
}

static unused int cg_remove(const char *group)
{
	char path[300];
	snprintf(path, sizeof(path), CG "/%s", group);
	/* What an exiting task holds is given back a little later. */
	for (int i = 0; i < 50; i++) {
		if (rmdir(path) == 0)
			return 0;
		if (errno != EBUSY)
			return -1;
		usleep(10000);
	}
	return -1;
}

/* A process that enters GROUP, runs WORK and exits with what it returns; the wait status. */
static unused int run_in(const char *group, int (*work)(void))
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		if (cg_write(group, "cgroup.procs", "0"))
			_exit(99);
		_exit(work());
	}
	int status;
	waitpid(pid, &status, 0);
	return status;
}

static unused const char *status_text(int status)
{
	static char text[40];
	if (WIFSIGNALED(status))
		snprintf(text, sizeof(text), "signal %d", WTERMSIG(status));
	else
		snprintf(text, sizeof(text), "exit %d", WEXITSTATUS(status));
	return text;
}
#endif
