/* kselftest.h: a small harness of the shape of Linux's kselftest_harness.h — a process for each test and its fixture, an alarm, ends by a signal that are expected,
 * results as TAP — for programs that do what the published selftests of mshare do (MSHARE-FACTS.md, REFERENCE.md). */
#ifndef KSELFTEST_H
#define KSELFTEST_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct test {
	const char *name;
	void (*run)(struct test *);
	int termsig; /* the signal that must end it; 0: it must return */
	bool passed, timed_out;
	pid_t pid;
	struct test *next;
};

static struct test *tests, **last_test = &tests, *current_test;

#define TEST_SIGNAL(test_name, signal)                                                                   \
	static void test_name(struct test *self);                                                        \
	static struct test test_name##_object = {.name = #test_name, .run = test_name, .termsig = signal}; \
	static __attribute__((constructor)) void test_name##_register(void)                              \
	{                                                                                                \
		*last_test = &test_name##_object;                                                        \
		last_test = &test_name##_object.next;                                                    \
	}                                                                                                \
	static void test_name(struct test *self __attribute__((unused)))
#define TEST(test_name) TEST_SIGNAL(test_name, 0)

/* Ends the test with a message if the condition does not hold. */
#define ASSERT(condition)                                                                       \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "# %s:%d:%s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
			_exit(1);                                                               \
		}                                                                               \
	} while (0)

static void timed_out(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)info, (void)context;
	current_test->timed_out = true;
	kill(-current_test->pid, SIGKILL);
}

static void run_test(struct test *t)
{
	struct sigaction action = {.sa_sigaction = timed_out, .sa_flags = SA_SIGINFO}, before;
	int status;
	printf("#  RUN           %s ...\n", t->name);
	fflush(stdout);
	current_test = t;
	sigaction(SIGALRM, &action, &before);
	t->pid = fork();
	if (t->pid == 0) {
		setpgrp();
		t->run(t);
		fflush(stdout);
		_exit(0);
	}
	alarm(30);
	while (waitpid(t->pid, &status, 0) < 0 && errno == EINTR)
		;
	alarm(0);
	sigaction(SIGALRM, &before, NULL);
	t->passed = !t->timed_out && (t->termsig ? WIFSIGNALED(status) && WTERMSIG(status) == t->termsig : WIFEXITED(status) && WEXITSTATUS(status) == 0);
	printf("#            %s  %s\n", t->passed ? "OK" : "FAIL", t->name);
}

int main(void)
{
	int count = 0, passed = 0, number = 0;
	for (struct test *t = tests; t; t = t->next)
		count++;
	printf("TAP version 13\n1..%d\n", count);
	for (struct test *t = tests; t; t = t->next) {
		run_test(t);
		passed += t->passed;
		printf("%s %d %s\n", t->passed ? "ok" : "not ok", ++number, t->name);
	}
	printf("# %s: %d / %d tests passed.\n", passed == count ? "PASSED" : "FAILED", passed, count);
	return passed != count;
}
#endif
