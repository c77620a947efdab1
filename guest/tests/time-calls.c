// Clocks, sleeping and timers: errors, what is given back, signals with their values. Nothing printed depends on how long anything took.
#include "check.h"
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>

static long clock_nanosleep_(int clock, int flags, struct timespec *t, void *left) { return syscall(SYS_clock_nanosleep, clock, flags, t, left); }
static volatile int count, code, value, overrun_;
static void note(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)context;
	count++;
	code = info->si_code;
	value = info->si_value.sival_int;
	overrun_ = info->si_overrun;
}
static void install(int sig)
{
	struct sigaction action = { .sa_sigaction = note, .sa_flags = SA_SIGINFO };
	sigaction(sig, &action, NULL);
}

static void clocks(void)
{
	struct timespec t, u;
	for (int id = -1; id < 13; id++) {
		char name[32];
		snprintf(name, sizeof(name), "clock %d", id);
		show(name, syscall(SYS_clock_gettime, id, &t));
		t.tv_nsec = -1;
		snprintf(name, sizeof(name), "resolution %d", id);
		show(name, syscall(SYS_clock_getres, id, &t));
		printf("%ld\n", t.tv_nsec);
	}
	show("gettime fault", syscall(SYS_clock_gettime, CLOCK_MONOTONIC, 8));
	show("getres null", syscall(SYS_clock_getres, CLOCK_MONOTONIC, 0));
	show("cpu clock of init's child", syscall(SYS_clock_gettime, (int)(~30000U << 3) | 2, &t));
	show("cpu clock of mine", syscall(SYS_clock_gettime, (int)(~(unsigned)getpid() << 3) | 2, &t));
	show("settime monotonic", syscall(SYS_clock_settime, CLOCK_MONOTONIC, &t));
	show("settime cpu", syscall(SYS_clock_settime, CLOCK_PROCESS_CPUTIME_ID, &t));
	show("settime bad", syscall(SYS_clock_settime, CLOCK_REALTIME, &(struct timespec){ 0, -1 }));
	show("settime fault", syscall(SYS_clock_settime, CLOCK_REALTIME, 8));
	int back = 0;
	clock_gettime(CLOCK_MONOTONIC, &t);
	for (int i = 0; i < 1000; i++) {
		clock_gettime(CLOCK_MONOTONIC, &u);
		back += u.tv_sec < t.tv_sec || (u.tv_sec == t.tv_sec && u.tv_nsec < t.tv_nsec);
		t = u;
	}
	printf("back %d\n", back);
	struct timeval v;
	clock_gettime(CLOCK_REALTIME, &t);
	gettimeofday(&v, NULL);
	printf("same clock %d\n", v.tv_sec - t.tv_sec < 2);
	show("settimeofday bad", settimeofday(&(struct timeval){ 1, 1000000 }, NULL));
	struct timex tx = { 0 };
	show("adjtimex", adjtimex(&tx));
	printf("status %x tick %ld\n", tx.status, tx.tick);
}

static void sleeping(void)
{
	struct timespec little = { 0, 1000 }, zero = { 0, 0 }, past = { 1, 0 }, left = { 5, 5 };
	show("nanosleep", nanosleep(&little, &left));
	printf("left %ld\n", (long)left.tv_sec);
	show("nanosleep 0", nanosleep(&zero, NULL));
	show("nanosleep bad", nanosleep(&(struct timespec){ 0, 1000000000 }, NULL));
	show("nanosleep negative", nanosleep(&(struct timespec){ -1, 0 }, NULL));
	show("nanosleep fault", syscall(SYS_nanosleep, 8, 0));
	for (int id = 0; id < 13; id++)
		if (id != 8 && id != 9) {
			char name[32];
			snprintf(name, sizeof(name), "clock_nanosleep %d", id);
			show(name, clock_nanosleep_(id, 0, id == 2 ? &zero : &little, NULL));
		}
	show("absolute past", clock_nanosleep_(CLOCK_REALTIME, TIMER_ABSTIME, &past, NULL));
	show("absolute past", clock_nanosleep_(CLOCK_MONOTONIC, TIMER_ABSTIME, &(struct timespec){ 0, 1 }, NULL));
}

static void intervals(void)
{
	struct itimerval set, old;
	for (int which = -1; which < 4; which++) {
		char name[32];
		snprintf(name, sizeof(name), "getitimer %d", which);
		show(name, getitimer(which, &old));
	}
	set = (struct itimerval){ { 0, 0 }, { 0, 1000000 } };
	show("setitimer bad", setitimer(ITIMER_REAL, &set, NULL));
	show("setitimer fault", syscall(SYS_setitimer, ITIMER_REAL, 8, 0));
	set = (struct itimerval){ { 7, 0 }, { 1000, 0 } };
	show("setitimer", setitimer(ITIMER_REAL, &set, NULL));
	memset(&set, 0, sizeof(set));
	show("setitimer off", setitimer(ITIMER_REAL, &set, &old));
	printf("old %ld interval %ld\n", (long)(old.it_value.tv_sec + 1) / 100, (long)old.it_interval.tv_sec);
	getitimer(ITIMER_REAL, &old);
	printf("off %ld %ld\n", (long)old.it_value.tv_sec, (long)old.it_interval.tv_sec);
	install(SIGALRM);
	sigset_t block, none;
	sigemptyset(&none);
	sigemptyset(&block);
	sigaddset(&block, SIGALRM);
	sigprocmask(SIG_BLOCK, &block, NULL);
	count = 0;
	set = (struct itimerval){ { 0, 1000 }, { 0, 1000 } };
	setitimer(ITIMER_REAL, &set, NULL);
	for (int i = 0; i < 5; i++)
		sigsuspend(&none);
	printf("alarms %d code %x\n", count, code);
	memset(&set, 0, sizeof(set));
	setitimer(ITIMER_REAL, &set, NULL);
	alarm(100);
	show("alarm", (alarm(0) + 1) / 100);
	sigprocmask(SIG_UNBLOCK, &block, NULL);
	// CPU time.
	install(SIGVTALRM);
	install(SIGPROF);
	for (int which = ITIMER_VIRTUAL; which <= ITIMER_PROF; which++) {
		count = 0;
		set = (struct itimerval){ { 0, 0 }, { 0, 20000 } };
		setitimer(which, &set, NULL);
		while (count == 0)
			for (volatile int i = 0; i < 10000; i++)
				;
		getitimer(which, &old);
		printf("cpu timer %d code %x left %ld\n", count, code, (long)old.it_value.tv_usec);
	}
	// Not inherited by a child.
	set = (struct itimerval){ { 0, 0 }, { 1000, 0 } };
	setitimer(ITIMER_REAL, &set, NULL);
	in_child(getitimer(ITIMER_REAL, &old); printf("child %ld\n", (long)old.it_value.tv_sec));
	alarm(0);
}

static void posix(void)
{
	timer_t id, other;
	struct itimerspec set = { { 0, 0 }, { 0, 1000000 } }, old;
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3, .sigev_value.sival_int = 77 };
	int raw = -1;
	show("timer_create bad clock", syscall(SYS_timer_create, 12, NULL, &raw));
	show("timer_create coarse", syscall(SYS_timer_create, CLOCK_MONOTONIC_COARSE, NULL, &raw));
	show("timer_create signal 65", syscall(SYS_timer_create, CLOCK_MONOTONIC, &(struct sigevent){ .sigev_notify = SIGEV_SIGNAL, .sigev_signo = 65 }, &raw));
	show("timer_create notify", syscall(SYS_timer_create, CLOCK_MONOTONIC, &(struct sigevent){ .sigev_notify = 9, .sigev_signo = 10 }, &raw));
	show("timer_create other's thread", syscall(SYS_timer_create, CLOCK_MONOTONIC, &(struct sigevent){ .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = 10, ._sigev_un._tid = getppid() }, &raw));
	show("timer_create fault", syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, 8));
	show("timer_settime none", syscall(SYS_timer_settime, 99, 0, &set, NULL));
	show("timer_gettime none", syscall(SYS_timer_gettime, 99, &old));
	show("timer_getoverrun none", syscall(SYS_timer_getoverrun, 99));
	show("timer_delete none", syscall(SYS_timer_delete, 99));
	show("timer_create", timer_create(CLOCK_MONOTONIC, &event, &id));
	show("timer_settime bad", timer_settime(id, 0, &(struct itimerspec){ { 0, 0 }, { 0, 1000000000 } }, NULL));
	show("timer_settime null", syscall(SYS_timer_settime, 0, 0, NULL, NULL));
	install(SIGRTMIN + 3);
	sigset_t block, none;
	sigemptyset(&none);
	sigemptyset(&block);
	sigaddset(&block, SIGRTMIN + 3);
	sigaddset(&block, SIGALRM);
	sigprocmask(SIG_BLOCK, &block, NULL);
	count = 0;
	show("once", timer_settime(id, 0, &set, NULL));
	sigsuspend(&none);
	printf("count %d code %d value %d overrun %d\n", count, code, value, overrun_);
	timer_gettime(id, &old);
	printf("expired %ld %ld\n", (long)old.it_value.tv_sec, old.it_value.tv_nsec);
	show("absolute past", timer_settime(id, TIMER_ABSTIME, &(struct itimerspec){ { 0, 0 }, { 0, 1 } }, NULL));
	sigsuspend(&none);
	printf("count %d\n", count);
	// While the signal is blocked a periodic timer counts its overruns.
	set = (struct itimerspec){ { 0, 1000000 }, { 0, 1000000 } };
	timer_settime(id, 0, &set, NULL);
	usleep(30000);
	count = 0;
	sigsuspend(&none);
	printf("count %d overrun %d same %d\n", count, overrun_ > 5, timer_getoverrun(id) == overrun_);
	set = (struct itimerspec){ { 5, 0 }, { 1000, 0 } };
	timer_settime(id, 0, &set, &old);
	printf("old interval %ld running %d\n", old.it_interval.tv_nsec, old.it_value.tv_sec == 0 && old.it_value.tv_nsec > 0);
	memset(&set, 0, sizeof(set));
	timer_settime(id, 0, &set, &old);
	printf("old %ld interval %ld\n", (long)(old.it_value.tv_sec + 1) / 100, (long)old.it_interval.tv_sec);
	timer_gettime(id, &old);
	printf("off %ld interval %ld\n", (long)old.it_value.tv_sec, (long)old.it_interval.tv_sec);
	show("delete", timer_delete(id));
	show("delete", syscall(SYS_timer_delete, 0));
	// Without a sigevent: SIGALRM, value is the id.
	show("default event", timer_create(CLOCK_REALTIME, NULL, &other));
	set = (struct itimerspec){ { 0, 0 }, { 0, 1000 } };
	count = 0;
	timer_settime(other, 0, &set, NULL);
	sigsuspend(&none);
	printf("count %d code %d\n", count, code);
	timer_delete(other);
	// No notification: only the time left.
	event.sigev_notify = SIGEV_NONE;
	timer_create(CLOCK_MONOTONIC, &event, &other);
	set = (struct itimerspec){ { 0, 0 }, { 0, 1 } };
	timer_settime(other, 0, &set, NULL);
	usleep(1000);
	timer_gettime(other, &old);
	printf("silent %ld %ld\n", (long)old.it_value.tv_sec, old.it_value.tv_nsec);
	timer_delete(other);
	// To one thread, on CPU time.
	event = (struct sigevent){ .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 3, .sigev_value.sival_int = 5, ._sigev_un._tid = getpid() };
	timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &other);
	sigprocmask(SIG_UNBLOCK, &block, NULL);
	count = 0;
	set = (struct itimerspec){ { 0, 0 }, { 0, 5000000 } };
	timer_settime(other, 0, &set, NULL);
	while (count == 0)
		for (volatile int i = 0; i < 10000; i++)
			;
	printf("cpu count %d code %d value %d\n", count, code, value);
	timer_delete(other);
}

static void limits(void)
{
	printf("RLIMIT_CPU %x\n", in_child({
		       struct rlimit limit = { 1, 2 };
		       signal(SIGXCPU, SIG_DFL);
		       setrlimit(RLIMIT_CPU, &limit);
		       for (;;)
			       ;
	       }) & 0x7f);
}

int main(void)
{
	clocks();
	sleeping();
	intervals();
	posix();
	limits();
}
