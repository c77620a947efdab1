// Threads at work: mutexes, condition variables, barriers, rwlocks, semaphores, thread-local storage, cancellation, signals to threads.
#include "check.h"
#include <pthread.h>
#include <semaphore.h>

#define N 8
#define ROUNDS 300
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static sem_t semaphore;
static long counter, sum, queue[4], queued, atomic, wrong;
static __thread long own;

static void *adder(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&mutex);
		long seen = counter;
		if (i % 50 == 0)
			sched_yield();
		counter = seen + 1;
		pthread_mutex_unlock(&mutex);
		__atomic_add_fetch(&atomic, 1, __ATOMIC_RELAXED);
		own++;
	}
	return (void *)(own + (long)arg);
}
static void *producer(void *arg)
{
	for (long i = 1; i <= ROUNDS; i++) {
		pthread_mutex_lock(&mutex);
		while (queued == 4)
			pthread_cond_wait(&not_full, &mutex);
		queue[queued++] = i;
		pthread_cond_signal(&not_empty);
		pthread_mutex_unlock(&mutex);
	}
	return arg;
}
static void *consumer(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&mutex);
		while (queued == 0)
			pthread_cond_wait(&not_empty, &mutex);
		sum += queue[--queued];
		pthread_cond_broadcast(&not_full);
		pthread_mutex_unlock(&mutex);
	}
	return arg;
}
static long phase[N];
static void *walker(void *arg)
{
	long me = (long)arg;
	for (int i = 0; i < 50; i++) {
		phase[me] = i;
		pthread_barrier_wait(&barrier);
		for (int j = 0; j < N; j++)
			if (phase[j] != i)
				__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}
static long pair[2];
static void *reader_writer(void *arg)
{
	for (int i = 0; i < 100; i++) {
		if ((long)arg % 4 == 0) {
			pthread_rwlock_wrlock(&rwlock);
			pair[0]++;
			sched_yield();
			pair[1]++;
			pthread_rwlock_unlock(&rwlock);
		} else {
			pthread_rwlock_rdlock(&rwlock);
			if (pair[0] != pair[1])
				__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
			pthread_rwlock_unlock(&rwlock);
		}
	}
	return NULL;
}
static void *poster(void *arg)
{
	for (int i = 0; i < 100; i++)
		(long)arg % 2 ? (void)sem_post(&semaphore) : (void)sem_wait(&semaphore);
	return NULL;
}
static void run(void *(*f)(void *), int n, const char *name)
{
	pthread_t threads[N];
	long total = 0;
	for (long i = 0; i < n; i++)
		pthread_create(&threads[i], NULL, f, (void *)i);
	for (int i = 0; i < n; i++) {
		void *result;
		pthread_join(threads[i], &result);
		total += (long)result;
	}
	printf("%s: %ld\n", name, total);
}

static volatile int signals;
static __thread volatile int mine;
static void handler(int sig) { (void)sig; signals++; mine++; }
static void *wait_signal(void *arg)
{
	while (!mine)
		usleep(1000);
	return arg;
}
static void *forever(void *arg)
{
	for (;;)
		pause();
	return arg;
}
static void *exit_all(void *arg)
{
	(void)arg;
	exit(42);
}
static void *exec_self(void *arg)
{
	char *argv[] = { "threads", "child", NULL };
	(void)arg;
	execv("/proc/self/exe", argv);
	exit(1);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		printf("%s runs after exec, one thread: %ld, pid is tid %d\n", argv[1], proc_number("/proc/self/status", "Threads:"), getpid() == (pid_t)syscall(SYS_gettid));
		return 7;
	}
	run(adder, N, "adders");
	printf("counter %ld atomic %ld own %ld\n", counter, atomic, own);
	pthread_t threads[N];
	for (long i = 0; i < N; i++)
		pthread_create(&threads[i], NULL, i % 2 ? producer : consumer, NULL);
	for (int i = 0; i < N; i++)
		pthread_join(threads[i], NULL);
	printf("sum %ld left %ld\n", sum, queued);
	pthread_barrier_init(&barrier, NULL, N);
	run(walker, N, "barrier");
	run(reader_writer, N, "rwlock");
	printf("pair %ld %ld wrong %ld\n", pair[0], pair[1], wrong);
	sem_init(&semaphore, 0, 0);
	run(poster, N, "semaphore");

	struct sigaction action = { .sa_handler = handler };
	sigaction(SIGUSR1, &action, NULL);
	pthread_t thread;
	pthread_create(&thread, NULL, wait_signal, NULL);
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	printf("signal to a thread: %d, mine %d\n", signals, mine);
	pthread_create(&thread, NULL, forever, NULL);
	pthread_cancel(thread);
	void *result;
	pthread_join(thread, &result);
	printf("canceled %d\n", result == PTHREAD_CANCELED);
	printf("threads %ld\n", proc_number("/proc/self/status", "Threads:"));
	printf("exit from a thread %x\n", in_child(for (int i = 0; i < 3; i++) pthread_create(&thread, NULL, forever, NULL); pthread_create(&thread, NULL, exit_all, NULL); forever(NULL)));
	printf("exec from a thread %x\n", in_child(for (int i = 0; i < 3; i++) pthread_create(&thread, NULL, forever, NULL); pthread_create(&thread, NULL, exec_self, NULL); forever(NULL)));
	printf("main thread exits first %x\n", in_child(pthread_create(&thread, NULL, exit_all, NULL); pthread_exit(NULL)));
	printf("killed %x\n", in_child(for (int i = 0; i < 3; i++) pthread_create(&thread, NULL, forever, NULL); kill(getpid(), SIGKILL); forever(NULL)));
	printf("fault in one of them %x\n", in_child(pthread_create(&thread, NULL, forever, NULL); *(volatile int *)8 = 1) & 0x7f);
}
