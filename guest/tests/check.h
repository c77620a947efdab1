/* check.h: what the test programs of this directory share. Two kinds of lines:
 *   show("name", call)       `name: VALUE` or `name: ERRNO`; compared with what Linux prints (NAME.expected)
 *   expect(condition, ...)   `ok …` or `FAIL …`; the expectation is written in the program (abi-*.c: from the ABI's text)
 * A program with a failed expect() exits with status 1. */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define KIB (1UL << 10)
#define MIB (1UL << 20)
#define GIB (1UL << 30)
#define PAGE 4096UL
#define unused __attribute__((unused))

static unused int failures;

/* Lines go out whole, also where stdout is a pipe and processes fork. */
__attribute__((constructor)) static void line_by_line(void)
{
	setvbuf(stdout, NULL, _IOLBF, 4096);
}

static unused const char *error_name(int error)
{
	const char *name = error ? strerrorname_np(error) : "0";
	return name ? name : "?";
}

static unused void show_value(const char *name, long value)
{
	if (value == -1)
		printf("%s: %s\n", name, error_name(errno));
	else
		printf("%s: %ld\n", name, value);
}
#define show(name, call) (errno = 0, show_value(name, (long)(call)))

static unused int expect_that(int true, const char *text)
{
	printf("%s %s\n", true ? "ok" : "FAIL", text);
	failures += !true;
	return true;
}
#define expect(condition, text) expect_that((condition) != 0, text)

/* The call returns this value; a failure says what it was instead. */
static unused void expect_value(long got, long want, const char *text)
{
	if (got == want)
		printf("ok %s\n", text);
	else
		printf("FAIL %s: %ld (%s), not %ld\n", text, got, got == -1 ? error_name(errno) : "", want);
	failures += got != want;
}
#define expect_is(call, value, text) (errno = 0, expect_value((long)(call), (long)(value), text))

/* The call returns -1 (MAP_FAILED) with this errno. */
static unused void expect_error_value(long got, int want, const char *text)
{
	int error = errno;
	if (got == -1 && error == want)
		printf("ok %s: %s\n", text, error_name(want));
	else
		printf("FAIL %s: %ld (%s), not %s\n", text, got, got == -1 ? error_name(error) : "no error", error_name(want));
	failures += !(got == -1 && error == want);
}
#define expect_error(call, error, text) (errno = 0, expect_error_value((long)(call), error, text))

/* Touching memory that may fault. try_read and try_write return "ok" or the signal and its code, and with "elsewhere" if si_addr is another one. */

static sigjmp_buf touch_back;
static volatile int touch_signal, touch_code;
static void *volatile touch_address;

static unused void touch_handler(int sig, siginfo_t *info, void *context)
{
	(void)context;
	touch_signal = sig;
	touch_code = info->si_code;
	touch_address = info->si_addr;
	siglongjmp(touch_back, 1);
}

static unused void catch_faults(void)
{
	struct sigaction action = { .sa_sigaction = touch_handler, .sa_flags = SA_SIGINFO };
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

static unused const char *fault_name(volatile void *at)
{
	const char *name = touch_signal == SIGSEGV ? touch_code == SEGV_MAPERR ? "SEGV_MAPERR" : touch_code == SEGV_ACCERR ? "SEGV_ACCERR" : "SIGSEGV ?"
			   : touch_signal == SIGBUS ? touch_code == BUS_ADRERR ? "BUS_ADRERR" : "SIGBUS ?" : "?";
	return touch_address == at ? name : "fault elsewhere";
}

static unused const char *try_read(volatile void *at)
{
	if (sigsetjmp(touch_back, 1))
		return fault_name(at);
	(void)*(volatile char *)at;
	return "ok";
}

static unused const char *try_write(volatile void *at)
{
	if (sigsetjmp(touch_back, 1))
		return fault_name(at);
	*(volatile char *)at = 1;
	return "ok";
}

static unused void expect_text(const char *got, const char *want, const char *text)
{
	if (!strcmp(got, want))
		printf("ok %s: %s\n", text, want);
	else
		printf("FAIL %s: %s, not %s\n", text, got, want);
	failures += strcmp(got, want) != 0;
}

/* Runs the block in a child and shows how it ended. */
static unused int ended(pid_t child)
{
	int status = 0;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}
#define in_child(...)                  \
	({                             \
		pid_t child_ = fork(); \
		if (child_ == 0) {     \
			__VA_ARGS__;   \
			fflush(stdout);\
			_exit(failures ? 1 : 0); \
		}                      \
		ended(child_);         \
	})

/* Like in_child, and the child's failed expectations count here. */
#define expect_in_child(...)                                    \
	do {                                                    \
		int status_ = in_child(failures = 0; __VA_ARGS__);\
		if (status_)                                    \
			expect_that(0, "a child failed or died"); \
	} while (0)

/* The number after `key` in a file of /proc such as status or smaps, or -1. */
static unused long proc_number(const char *path, const char *key)
{
	FILE *f = fopen(path, "r");
	char text[512];
	long value = -1;
	while (f && fgets(text, sizeof(text), f))
		if (!strncmp(text, key, strlen(key))) {
			value = strtol(text + strlen(key), NULL, 0);
			break;
		}
	if (f)
		fclose(f);
	return value;
}

/* Waits until another process sleeps in a call: what happens to it then does not depend on who is how fast. */
static unused void until_asleep(pid_t pid)
{
	char path[64], text[512], state = 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	while (state != 'S' && state != 'Z') {
		int fd = open(path, O_RDONLY);
		ssize_t got = read(fd, text, sizeof(text) - 1);
		close(fd);
		if (got <= 0)
			return;
		text[got] = 0;
		state = strrchr(text, ')')[2];
		if (state != 'S')
			usleep(1000);
	}
}

#endif
