// System V shared memory, semaphores and message queues.
#include "check.h"
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <time.h>

union semun { int val; struct semid_ds *buf; unsigned short *array; struct seminfo *info; };

static void shared_memory(void)
{
	struct shmid_ds ds;
	show("size 0", shmget(IPC_PRIVATE, 0, 0600));
	show("no key", shmget(0x1234, 4096, 0));
	int id = shmget(0x1234, 10000, IPC_CREAT | IPC_EXCL | 0640);
	printf("created %d\n", id >= 0);
	show("exclusive", shmget(0x1234, 10000, IPC_CREAT | IPC_EXCL | 0600));
	show("same", shmget(0x1234, 0, 0) == id);
	show("too large", shmget(0x1234, 10001, 0));
	show("stat", shmctl(id, IPC_STAT, &ds));
	printf("size %zu nattch %lu mode %o key %x cpid %d lpid %d atime %d ctime %d\n", ds.shm_segsz, ds.shm_nattch, ds.shm_perm.mode, ds.shm_perm.__key, ds.shm_cpid == getpid(), ds.shm_lpid, ds.shm_atime != 0, ds.shm_ctime != 0);
	show("bad id", shmctl(-1, IPC_STAT, &ds));
	show("unknown id", shmctl(12345, IPC_STAT, &ds));
	show("command", shmctl(id, 77, &ds));
	show("stat fault", shmctl(id, IPC_STAT, (void *)8));
	show("at unaligned", (long)shmat(id, (void *)0x10000001, 0));
	char *a = shmat(id, NULL, 0), *b = shmat(id, NULL, SHM_RDONLY);
	printf("attached %d %d\n", a != (void *)-1, b != (void *)-1);
	strcpy(a, "through");
	printf("read %s\n", b);
	catch_faults();
	printf("write read-only: %s\n", try_write(b));
	printf("end: %s beyond: %s\n", try_write(a + 12287), try_read(a + 12288) ? "some" : "");
	shmctl(id, IPC_STAT, &ds);
	printf("nattch %lu lpid %d\n", ds.shm_nattch, ds.shm_lpid == getpid());
	in_child(shmctl(id, IPC_STAT, &ds); printf("in child %lu\n", ds.shm_nattch); strcpy(a, "child"));
	printf("read %s\n", b);
	shmctl(id, IPC_STAT, &ds);
	printf("nattch %lu\n", ds.shm_nattch);
	munmap(a + 4096, 4096);
	shmctl(id, IPC_STAT, &ds);
	printf("nattch after a hole %lu\n", ds.shm_nattch);
	show("detach middle", shmdt(a + 8192));
	show("detach", shmdt(a));
	show("detach again", shmdt(a));
	show("detach unaligned", shmdt(b + 1));
	shmctl(id, IPC_STAT, &ds);
	printf("nattch %lu dtime %d\n", ds.shm_nattch, ds.shm_dtime != 0);
	char *place = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	show("over a mapping", (long)shmat(id, place, 0));
	show("remap", (char *)shmat(id, place, SHM_REMAP) == place);
	shmdt(place);
	show("rounded", (char *)shmat(id, place + 100, SHM_RND) == place);
	show("remap nowhere", (long)shmat(id, NULL, SHM_REMAP));
	ds.shm_perm.mode = 0606;
	show("set", shmctl(id, IPC_SET, &ds));
	show("lock", shmctl(id, SHM_LOCK, NULL));
	shmctl(id, IPC_STAT, &ds);
	printf("mode %o\n", ds.shm_perm.mode);
	show("unlock", shmctl(id, SHM_UNLOCK, NULL));
	show("remove", shmctl(id, IPC_RMID, NULL));
	shmctl(id, IPC_STAT, &ds);
	printf("mode %o key %x nattch %lu\n", ds.shm_perm.mode, ds.shm_perm.__key, ds.shm_nattch);
	show("key is free", shmget(0x1234, 1, 0));
	char *c = shmat(id, NULL, 0);
	printf("still there %s\n", c);
	shmdt(c);
	shmdt(b);
	shmdt(place);
	show("gone", shmctl(id, IPC_STAT, &ds));
	int next = shmget(IPC_PRIVATE, 1, 0600);
	printf("another id %d\n", next != id);
	show("old id", (long)shmat(id, NULL, 0));
	shmctl(next, IPC_RMID, NULL);
	struct shminfo info;
	show("info", shmctl(0, IPC_INFO, (void *)&info));
	printf("max %lx min %lu mni %lu all %lx\n", info.shmmax, info.shmmin, info.shmmni, info.shmall);
	// As somebody else.
	id = shmget(0x77, 4096, IPC_CREAT | 0600);
	in_child({
		(void)!setuid(1000);
		show("other's", shmget(0x77, 0, 0600));
		show("other's without asking", shmget(0x77, 0, 0) == id);
		show("other's at", (long)shmat(id, NULL, 0));
		show("other's stat", shmctl(id, IPC_STAT, &ds));
		show("other's remove", shmctl(id, IPC_RMID, NULL));
	});
	shmctl(id, IPC_RMID, NULL);
}

static int sem;
static long op(int num, int by, int flags) { return semop(sem, &(struct sembuf){ num, by, flags }, 1); }
static void values(const char *what)
{
	unsigned short all[3];
	semctl(sem, 0, GETALL, (union semun){ .array = all });
	printf("%s: %d %d %d\n", what, all[0], all[1], all[2]);
}
static void semaphores(void)
{
	struct semid_ds ds;
	show("0 semaphores", semget(IPC_PRIVATE, 0, 0600));
	show("too many", semget(IPC_PRIVATE, 32001, 0600));
	sem = semget(IPC_PRIVATE, 3, 0600);
	values("new");
	show("setval", semctl(sem, 1, SETVAL, (union semun){ .val = 5 }));
	show("setval range", semctl(sem, 1, SETVAL, (union semun){ .val = 32768 }));
	show("setval number", semctl(sem, 3, SETVAL, (union semun){ .val = 1 }));
	show("getval", semctl(sem, 1, GETVAL));
	show("getpid", semctl(sem, 1, GETPID) == getpid());
	show("command", semctl(sem, 1, 99));
	show("add", op(0, 3, 0));
	show("take too much", op(0, -4, IPC_NOWAIT));
	show("take", op(0, -2, IPC_NOWAIT));
	show("zero", op(0, 0, IPC_NOWAIT));
	show("range", op(0, 32767, 0));
	show("number", op(3, 1, 0));
	show("no operations", semop(sem, NULL, 0));
	show("too many", semop(sem, (void *)8, 501));
	show("fault", semop(sem, (void *)8, 1));
	struct sembuf all[3] = { { 0, 1, 0 }, { 1, -5, 0 }, { 2, -1, IPC_NOWAIT } };
	show("all or nothing", semop(sem, all, 3));
	values("unchanged");
	all[2].sem_op = 1;
	show("all", semop(sem, all, 3));
	values("changed");
	show("timeout", semtimedop(sem, &(struct sembuf){ 1, -1, 0 }, 1, &(struct timespec){ 0, 1000000 }));
	pid_t child = fork();
	if (child == 0)
		_exit(op(1, -1, 0) == 0 ? 0 : 1);
	until_asleep(child);
	show("waiting for more", semctl(sem, 1, GETNCNT));
	show("waiting for zero", semctl(sem, 1, GETZCNT));
	op(1, 1, 0);
	printf("woken %x\n", ended(child));
	child = fork();
	if (child == 0)
		_exit(op(2, 0, 0) == 0 ? 0 : 1);
	until_asleep(child);
	show("waiting for zero", semctl(sem, 2, GETZCNT));
	op(2, -1, 0);
	printf("woken %x\n", ended(child));
	values("before undo");
	in_child(op(0, 4, SEM_UNDO); op(1, 2, SEM_UNDO); values("in child"));
	values("undone");
	in_child(op(0, -1, SEM_UNDO); semctl(sem, 0, SETVAL, (union semun){ .val = 9 }));
	values("undo forgotten");
	show("stat", semctl(sem, 0, IPC_STAT, (union semun){ .buf = &ds }));
	printf("nsems %lu otime %d mode %o\n", ds.sem_nsems, ds.sem_otime != 0, ds.sem_perm.mode);
	child = fork();
	if (child == 0)
		_exit(op(1, -100, 0) < 0 ? errno : 0);
	until_asleep(child);
	show("remove", semctl(sem, 0, IPC_RMID));
	printf("told %s\n", error_name(ended(child) >> 8));
	show("gone", op(0, 1, 0));
}

static void messages(void)
{
	struct { long type; char text[100]; } m;
	struct msqid_ds ds;
	show("no key", msgget(0x4321, 0));
	int id = msgget(0x4321, IPC_CREAT | 0600);
	show("type 0", (m.type = 0, msgsnd(id, &m, 1, 0)));
	show("too long", (m.type = 1, msgsnd(id, &m, 8193, 0)));
	show("empty", msgrcv(id, &m, 100, 0, IPC_NOWAIT));
	for (int i = 0; i < 5; i++) {
		m.type = (long[]){ 3, 1, 4, 1, 5 }[i];
		int n = snprintf(m.text, sizeof(m.text), "message %d", i);
		show("send", msgsnd(id, &m, n, 0));
	}
	show("stat", msgctl(id, IPC_STAT, &ds));
	printf("messages %lu bytes %lu max %lu lspid %d\n", ds.msg_qnum, ds.__msg_cbytes, ds.msg_qbytes, ds.msg_lspid == getpid());
#define RECEIVE(type_, flags) \
	do { \
		memset(&m, 0, sizeof(m)); \
		show("receive " #type_ " " #flags, msgrcv(id, &m, 100, type_, (flags) | IPC_NOWAIT)); \
		printf("type %ld %s\n", m.type, m.text); \
	} while (0)
	RECEIVE(4, 0);
	RECEIVE(-3, 0);
	RECEIVE(1, MSG_EXCEPT);
	RECEIVE(0, 0);
	RECEIVE(2, 0);
	show("too small", msgrcv(id, &m, 3, 0, 0));
	memset(&m, 0, sizeof(m));
	show("cut", msgrcv(id, &m, 3, 0, MSG_NOERROR));
	printf("%s\n", m.text);
	m.type = 1;
	int sent = 0;
	while (msgsnd(id, &m, 100, IPC_NOWAIT) == 0)
		sent++;
	printf("sent %d then %s\n", sent, error_name(errno));
	pid_t child = fork();
	if (child == 0)
		_exit(msgsnd(id, &m, 100, 0));
	until_asleep(child);
	msgrcv(id, &m, 100, 0, 0);
	printf("sender went on %x\n", ended(child));
	while (msgrcv(id, &m, 100, 0, IPC_NOWAIT) >= 0)
		;
	child = fork();
	if (child == 0) {
		long n = msgrcv(id, &m, 100, 7, 0);
		_exit(n);
	}
	until_asleep(child);
	m.type = 7;
	msgsnd(id, &m, 11, 0);
	printf("received %d\n", ended(child) >> 8);
	child = fork();
	if (child == 0)
		_exit(msgrcv(id, &m, 100, 7, 0) < 0 ? errno : 0);
	until_asleep(child);
	show("remove", msgctl(id, IPC_RMID, NULL));
	printf("told %s\n", error_name(ended(child) >> 8));
	show("gone", msgsnd(id, &m, 1, 0));
}

int main(void)
{
	shared_memory();
	semaphores();
	messages();
}
