/* mmfuzz.c: random memory-management calls by several processes, logged so that two kernels can be compared line by line.
 *
 * usage: mmfuzz FIRST [LAST [OPERATIONS]]    one run per seed from FIRST to LAST (default FIRST), 300 operations each
 *
 * One source, built natively and for riscv64. All calls are made in one arena at a fixed address; what is logged is relative to it: results,
 * errnos, signals with code and address, contents, the arena's part of /proc/self/maps. The sequence depends on the seed alone, never on what
 * the kernel answered, so two logs stay comparable after a difference.
 *
 * Up to four processes take turns: the one that holds the token makes a call and hands the token on through a pipe. All are children of one
 * supervisor (CLONE_PARENT), which waits for one that exits before it hands on, so that an exit is complete when the next call is made.
 *
 * Left out, because the answer depends on more than the calls: execute-only pages (x86 lacks them), huge pages (switched off), MADV_FREE and MADV_PAGEOUT
 * in the same run (what was freed lazily goes when it is on this CPU's list), mremap of several VMAs at once (new in Linux 6.17). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096L
#define PAGES 64
#define ARENA ((char *)0x1000000000)
#define MAX_PROCESSES 4
#define OBJECTS 5

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

/* What all processes share: outside the arena, never unmapped. */
struct control {
	uint64_t random;
	int operation, operations;
	int alive[MAX_PROCESSES];
	int exiting; /* slot that exits now, else -1 */
	int lazy_free; /* this run uses MADV_FREE, else MADV_PAGEOUT */
};

static struct control *control;
static int me, tokens[MAX_PROCESSES][2], objects[OBJECTS];
static char names[OBJECTS][64];
static char line[65536];
static int used;

static void say(const char *format, ...)
{
	va_list list;
	va_start(list, format);
	used += vsnprintf(line + used, sizeof(line) - (size_t)used, format, list);
	va_end(list);
}

static void flush(void)
{
	for (int at = 0; at < used;) {
		ssize_t n = write(1, line + at, (size_t)(used - at));
		if (n <= 0)
			_exit(9);
		at += (int)n;
	}
	used = 0;
}

static unsigned below(unsigned n)
{
	uint64_t x = control->random;
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	control->random = x;
	return (unsigned)((x * 0x2545F4914F6CDD1DULL) >> 33) % n;
}

static int one_in(unsigned n)
{
	return below(n) == 0;
}

/* Faults */

static sigjmp_buf back;

static void on_signal(int sig, siginfo_t *info, void *context)
{
	(void)context;
	const char *code = sig == SIGSEGV ? info->si_code == SEGV_MAPERR ? "MAPERR" : info->si_code == SEGV_ACCERR ? "ACCERR" : "?"
			   : info->si_code == BUS_ADRERR ? "ADRERR" : "?";
	say(" %s/%s@%lx", sig == SIGSEGV ? "SEGV" : "BUS", code, (long)((char *)info->si_addr - ARENA));
	siglongjmp(back, 1);
}

/* Reads or writes a byte; returns 1 if a signal came. */
static int touch(long at, int write_value, unsigned char *got)
{
	volatile unsigned char *p = (volatile unsigned char *)ARENA + at;
	if (sigsetjmp(back, 1))
		return 1;
	if (write_value >= 0)
		*p = (unsigned char)write_value;
	else
		*got = *p;
	return 0;
}

/* Naming what is logged */

static void say_prot(int prot)
{
	say("%c%c%c", prot & PROT_READ ? 'r' : '-', prot & PROT_WRITE ? 'w' : '-', prot & PROT_EXEC ? 'x' : '-');
}

static void say_result(long result)
{
	if (result == -1)
		say(" = %s", strerrorname_np(errno));
	else
		say(" = %ld", result);
}

/* An address that a call returned: where in the arena, or elsewhere; what landed elsewhere is unmapped. */
static void say_address(char *p, long size)
{
	if (p == MAP_FAILED)
		say(" = %s", strerrorname_np(errno));
	else if (p >= ARENA && p < ARENA + PAGES * PAGE)
		say(" = +%ld", (p - ARENA) / PAGE);
	else {
		say(" = elsewhere");
		munmap(p, (size_t)size);
	}
}

static void say_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char text[512];
	say("\n");
	while (fgets(text, sizeof(text), f)) {
		unsigned long start, end, offset, inode;
		char prot[8], device[16];
		int path = 0;
		sscanf(text, "%lx-%lx %7s %lx %15s %lu %n", &start, &end, prot, &offset, device, &inode, &path);
		if (end <= (unsigned long)ARENA || start >= (unsigned long)(ARENA + PAGES * PAGE))
			continue;
		char *name = path ? text + path : (char *)"";
		name[strcspn(name, "\n")] = 0;
		char *slash = strrchr(name, '/');
		say("    %+ld %+ld %s %lx %s\n", ((long)start - (long)ARENA) / PAGE, ((long)end - (long)ARENA) / PAGE, prot, offset, slash ? slash : name);
	}
	fclose(f);
	used--; /* the line's own end follows */
}

/* The pages that can be read, each as a checksum; reading makes them present. */
static void say_contents(long first, long count)
{
	for (long page = first; page < first + count; page++) {
		uint32_t hash = 2166136261u;
		for (long at = 0; at < PAGE; at += 512) {
			unsigned char byte;
			int length = used;
			if (touch(page * PAGE + at, -1, &byte)) {
				char *name = line + length + 1;
				hash = name[0] == 'B' ? 2 : strstr(name, "MAPERR") ? 0 : 1;
				used = length;
				break;
			}
			hash = (hash ^ byte) * 16777619u;
		}
		if (hash > 2)
			say(hash == 0x9be17165u ? " 0" : " %x", hash);
		else
			say(" %s", hash == 0 ? "-" : hash == 1 ? "!" : "B");
	}
}

/* Is the range within one VMA? (See the top: mremap.) */
static int in_one_vma(char *start, long size)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char text[512];
	unsigned long from, to;
	int found = 0;
	while (fgets(text, sizeof(text), f))
		if (sscanf(text, "%lx-%lx", &from, &to) == 2 && from <= (unsigned long)start && (unsigned long)start < to)
			found = to >= (unsigned long)start + (unsigned long)size;
	fclose(f);
	return found;
}

/* Choosing arguments */

static void range(long *start, long *count)
{
	long most = one_in(6) ? PAGES : 12;
	*start = below(PAGES);
	*count = 1 + below((unsigned)(most < PAGES - *start ? most : PAGES - *start));
}

static int protection(void)
{
	static const int prots[] = { PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ, PROT_READ, PROT_NONE,
				     PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE | PROT_EXEC, PROT_WRITE };
	return prots[below(sizeof(prots) / sizeof(*prots))];
}

/* The operations */

static void do_mmap(void)
{
	static const struct { int flag; const char *name; } extra[] = { { MAP_POPULATE, "populate" }, { MAP_LOCKED, "locked" }, { MAP_NORESERVE, "noreserve" },
		{ MAP_STACK, "stack" }, { MAP_GROWSDOWN, "growsdown" }, { MAP_POPULATE | MAP_NONBLOCK, "nonblock" } };
	long start, count, offset = 0;
	range(&start, &count);
	int prot = protection(), fd = -1, object = -1, kind, place;
	say("mmap(+%ld, %ld, ", start, count);
	say_prot(prot);
	kind = one_in(2) ? MAP_PRIVATE : MAP_SHARED;
	if (one_in(30))
		kind = one_in(2) ? 0 : MAP_SHARED_VALIDATE;
	say(kind == MAP_PRIVATE ? " private" : kind == MAP_SHARED ? " shared" : kind ? " validate" : " neither");
	if (one_in(2)) {
		object = (int)below(OBJECTS);
		fd = objects[object];
		offset = below(10) * PAGE + (one_in(40) ? 512 : 0);
		say(" %s+%lx", names[object], offset);
	} else {
		kind |= MAP_ANONYMOUS;
		say(" anon");
	}
	place = one_in(8) ? 0 : one_in(5) ? MAP_FIXED_NOREPLACE : MAP_FIXED;
	say(place == 0 ? " hint" : place == MAP_FIXED ? " fixed" : " noreplace");
	int flags = kind | place;
	if (one_in(3)) {
		unsigned i = below(sizeof(extra) / sizeof(*extra));
		if (extra[i].flag != MAP_GROWSDOWN || one_in(3)) {
			flags |= extra[i].flag;
			say(" %s", extra[i].name);
		}
	}
	say(")");
	long skew = one_in(40) ? 100 : 0, size = one_in(40) ? 0 : count * PAGE - (one_in(10) ? 1000 : 0);
	if (skew)
		say(" unaligned");
	if (!size)
		say(" empty");
	say_address(mmap(ARENA + start * PAGE + skew, (size_t)size, prot, flags, fd, offset), count * PAGE);
}

static void do_munmap(void)
{
	long start, count;
	range(&start, &count);
	long skew = one_in(25) ? 8 : 0, size = one_in(25) ? 0 : count * PAGE - (one_in(6) ? 4000 : 0);
	say("munmap(+%ld%s, %lx)", start, skew ? " unaligned" : "", size);
	say_result(munmap(ARENA + start * PAGE + skew, (size_t)size));
}

static void do_mprotect(void)
{
	long start, count;
	range(&start, &count);
	int prot = protection();
	if (one_in(40))
		prot |= 0x40;
	long skew = one_in(25) ? 8 : 0, size = one_in(25) ? 0 : count * PAGE;
	say("mprotect(+%ld%s, %lx, ", start, skew ? " unaligned" : "", size);
	say_prot(prot);
	say(prot & 0x40 ? "?)" : ")");
	say_result(mprotect(ARENA + start * PAGE + skew, (size_t)size, prot));
}

static void do_mremap(void)
{
	long start, count, size, target, unused;
	range(&start, &count);
	range(&target, &unused);
	count = 1 + count % 5;
	if (count > PAGES - start)
		count = PAGES - start;
	size = one_in(3) ? count : 1 + below(16);
	static const int choices[] = { 0, MREMAP_MAYMOVE, MREMAP_MAYMOVE | MREMAP_FIXED, MREMAP_MAYMOVE | MREMAP_FIXED, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, MREMAP_FIXED,
				       MREMAP_MAYMOVE | MREMAP_DONTUNMAP };
	int flags = choices[below(sizeof(choices) / sizeof(*choices))];
	long old = one_in(20) ? 0 : count;
	if (one_in(30))
		size = 0;
	if (size > PAGES - target)
		target = PAGES - size;
	if (!(flags & MREMAP_FIXED) && size > PAGES - start)
		size = PAGES - start;
	say("mremap(+%ld, %ld, %ld, %d", start, old, size, flags);
	if (flags & MREMAP_FIXED)
		say(", +%ld", target);
	say(")");
	if (old && !in_one_vma(ARENA + start * PAGE, old * PAGE)) {
		say(" skipped");
		return;
	}
	say_address(mremap(ARENA + start * PAGE, (size_t)(old * PAGE), (size_t)(size * PAGE), flags, flags & MREMAP_FIXED ? ARENA + target * PAGE : NULL),
		    size * PAGE);
}

static void do_madvise(void)
{
	static const struct { int advice; const char *name; } choices[] = {
		{ MADV_DONTNEED, "DONTNEED" }, { MADV_DONTNEED, "DONTNEED" }, { MADV_DONTNEED, "DONTNEED" }, { MADV_REMOVE, "REMOVE" }, { MADV_REMOVE, "REMOVE" },
		{ MADV_FREE, "FREE" }, { MADV_WILLNEED, "WILLNEED" }, { 20, "COLD" }, { 21, "PAGEOUT" }, { MADV_POPULATE_READ, "POPULATE_READ" },
		{ MADV_POPULATE_WRITE, "POPULATE_WRITE" }, { MADV_DONTFORK, "DONTFORK" }, { MADV_DOFORK, "DOFORK" }, { MADV_DONTDUMP, "DONTDUMP" },
		{ MADV_DODUMP, "DODUMP" }, { MADV_WIPEONFORK, "WIPEONFORK" }, { MADV_KEEPONFORK, "KEEPONFORK" }, { MADV_SEQUENTIAL, "SEQUENTIAL" },
		{ MADV_RANDOM, "RANDOM" }, { MADV_NORMAL, "NORMAL" }, { 24, "DONTNEED_LOCKED" }, { 9999, "9999" } };
	long start, count;
	range(&start, &count);
	unsigned i = below(sizeof(choices) / sizeof(*choices));
	if (choices[i].advice == (control->lazy_free ? 21 : MADV_FREE))
		i = 0;
	long skew = one_in(30) ? 8 : 0, size = one_in(30) ? 0 : count * PAGE;
	say("madvise(+%ld%s, %lx, %s)", start, skew ? " unaligned" : "", size, choices[i].name);
	say_result(madvise(ARENA + start * PAGE + skew, (size_t)size, choices[i].advice));
}

static void do_mincore(void)
{
	long start, count;
	range(&start, &count);
	unsigned char present[PAGES];
	long skew = one_in(30) ? 8 : 0;
	say("mincore(+%ld%s, %ld)", start, skew ? " unaligned" : "", count);
	long result = mincore(ARENA + start * PAGE + skew, (size_t)(count * PAGE), present);
	say_result(result);
	say(" ");
	for (long i = 0; result == 0 && i < count; i++)
		say("%d", present[i] & 1);
}

static void do_msync(void)
{
	long start, count;
	range(&start, &count);
	int flags = (int)below(8), skew = one_in(25) ? 8 : 0;
	say("msync(+%ld%s, %ld, %d)", start, skew ? " unaligned" : "", count, flags);
	say_result(msync(ARENA + start * PAGE + skew, (size_t)(count * PAGE), flags));
}

static void do_mlock(void)
{
	long start, count;
	range(&start, &count);
	unsigned which = below(16);
	if (which < 5) {
		say("mlock(+%ld, %ld)", start, count);
		say_result(mlock(ARENA + start * PAGE, (size_t)(count * PAGE)));
	} else if (which < 8) {
		int flags = one_in(10) ? 6 : MLOCK_ONFAULT;
		say("mlock2(+%ld, %ld, %d)", start, count, flags);
		say_result(syscall(SYS_mlock2, ARENA + start * PAGE, count * PAGE, flags));
	} else if (which < 13) {
		say("munlock(+%ld, %ld)", start, count);
		say_result(munlock(ARENA + start * PAGE, (size_t)(count * PAGE)));
	} else if (which == 13) {
		static const int choices[] = { MCL_CURRENT, MCL_FUTURE, MCL_CURRENT | 4, MCL_FUTURE | 4, MCL_CURRENT | MCL_FUTURE, 4, 0, 8 };
		int flags = choices[below(8)];
		say("mlockall(%d)", flags);
		say_result(mlockall(flags));
	} else {
		say("munlockall()");
		say_result(munlockall());
	}
}

static void do_object(void)
{
	int object = (int)below(OBJECTS);
	long start, count, first = below(10), result;
	range(&start, &count);
	unsigned which = below(6);
	if (which < 2) {
		long size = below(10) * PAGE + (one_in(3) ? below(PAGE) : 0);
		say("ftruncate(%s, %lx)", names[object], size);
		say_result(ftruncate(objects[object], size));
	} else if (which == 2) {
		say("pwrite(%s, +%ld, %ld, %ld)", names[object], start, count, first);
		result = pwrite(objects[object], ARENA + start * PAGE, (size_t)(count * PAGE), first * PAGE);
		say_result(result);
	} else if (which == 3) {
		say("pread(%s, +%ld, %ld, %ld)", names[object], start, count, first);
		result = pread(objects[object], ARENA + start * PAGE, (size_t)(count * PAGE), first * PAGE);
		say_result(result);
	} else if (which == 4) {
		say("punch(%s, %ld, %ld)", names[object], first, count);
		result = fallocate(objects[object], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, first * PAGE, count * PAGE);
		say_result(result);
	} else {
		say("fallocate(%s, %ld, 2)", names[object], first);
		result = fallocate(objects[object], 0, first * PAGE, 2 * PAGE);
		say_result(result);
	}
}

static void do_touch(void)
{
	long start, count;
	range(&start, &count);
	int writing = !one_in(3);
	if (count > 4 && !one_in(6))
		count = 1 + count % 4;
	say("%s(+%ld, %ld)", writing ? "write" : "read", start, count);
	for (long page = start; page < start + count; page++) {
		unsigned char got = 0;
		long at = page * PAGE + (one_in(2) ? 0 : 512L * below(8));
		if (!touch(at, writing ? (control->operation * 7 + (int)page) & 255 : -1, &got))
			say(writing ? " ok" : " %02x", got);
	}
}

static void wait_for_token(void)
{
	char byte;
	if (read(tokens[me][0], &byte, 1) != 1)
		_exit(8);
}

static void do_fork(void)
{
	int slot = 0;
	while (slot < MAX_PROCESSES && control->alive[slot])
		slot++;
	if (slot == MAX_PROCESSES) {
		say("fork() full");
		return;
	}
	say("fork() = p%d", slot);
	control->alive[slot] = 1;
	int length = used;
	long child = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
	if (child < 0) {
		say(" %s", strerrorname_np(errno));
		control->alive[slot] = 0;
	} else if (child == 0) {
		me = slot;
		used = 0;
		wait_for_token();
		return;
	}
	used = length;
}

static void hand_on(int from)
{
	int living = 0, slot;
	for (slot = 0; slot < MAX_PROCESSES; slot++)
		living += control->alive[slot];
	(void)from;
	if (!living)
		return;
	int nth = (int)below((unsigned)living);
	for (slot = 0; slot < MAX_PROCESSES; slot++)
		if (control->alive[slot] && nth-- == 0)
			break;
	if (write(tokens[slot][1], "", 1) != 1)
		_exit(7);
}

static void leave(void)
{
	say(" maps");
	say_maps();
	say("\n    contents");
	say_contents(0, PAGES);
	say("\n");
	flush();
	control->alive[me] = 0;
	control->exiting = me;
	_exit(0);
}

/* One process's life: take the token, make a call, hand on. */
static void live(void)
{
	for (;;) {
		if (control->operation == control->operations) {
			say("end p%d", me);
			leave();
		}
		say("%d p%d ", control->operation++, me);
		unsigned kind = below(100);
		int self = me;
		if (kind < 20 || control->operation < 12)
			do_mmap();
		else if (kind < 27)
			do_munmap();
		else if (kind < 37)
			do_mprotect();
		else if (kind < 44)
			do_mremap();
		else if (kind < 56)
			do_madvise();
		else if (kind < 61)
			do_mincore();
		else if (kind < 64)
			do_msync();
		else if (kind < 69)
			do_mlock();
		else if (kind < 74)
			do_object();
		else if (kind < 92)
			do_touch();
		else if (kind < 94)
			do_fork();
		else if (kind < 96) {
			say("maps");
			say_maps();
		} else if (kind < 98) {
			long start, count;
			range(&start, &count);
			say("contents(+%ld, %ld)", start, count);
			say_contents(start, count);
		} else {
			int living = 0;
			for (int i = 0; i < MAX_PROCESSES; i++)
				living += control->alive[i];
			say("exit");
			if (living > 1)
				leave();
			say(" last");
		}
		if (me != self)
			continue; /* the child of a fork, which has got the token by now */
		say("\n");
		flush();
		hand_on(me);
		wait_for_token();
	}
}

static void make_objects(void)
{
	static char path[OBJECTS][32];
	const char *directory = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	strcpy(names[0], "A");
	strcpy(names[1], "B");
	strcpy(names[2], "F");
	strcpy(names[3], "Fro");
	strcpy(names[4], "Aro");
	objects[0] = memfd_create("A", 0);
	objects[1] = memfd_create("B", MFD_ALLOW_SEALING);
	snprintf(path[2], sizeof(path[2]), "%s/mmfuzz-F", directory);
	unlink(path[2]);
	objects[2] = open(path[2], O_RDWR | O_CREAT | O_EXCL, 0600);
	objects[3] = open(path[2], O_RDONLY);
	snprintf(path[4], sizeof(path[4]), "/proc/self/fd/%d", objects[0]);
	objects[4] = open(path[4], O_RDONLY);
	unlink(path[2]);
	for (int i = 0; i < 3; i++) {
		char page[PAGE];
		if (ftruncate(objects[i], 6 * PAGE - 1000 * i))
			_exit(6);
		memset(page, 0x11 * (i + 1), sizeof(page));
		if (pwrite(objects[i], page, sizeof(page), PAGE) != PAGE)
			_exit(6);
	}
	for (int i = 0; i < OBJECTS; i++)
		if (objects[i] < 0) {
			perror("mmfuzz: object");
			_exit(6);
		}
}

/* The supervisor of one seed: starts process 0, then waits for one after the other. */
static void run(unsigned long seed, int operations)
{
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	signal(SIGPIPE, SIG_DFL);
	control = mmap(NULL, (size_t)PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	control->random = (seed + 1) * 0x9E3779B97F4A7C15ULL;
	control->operations = operations;
	control->exiting = -1;
	for (int i = 0; i < 20; i++)
		below(2);
	control->lazy_free = (int)below(2);
	make_objects();
	for (int i = 0; i < MAX_PROCESSES; i++)
		if (pipe(tokens[i]))
			_exit(5);
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	say("seed %lu\n", seed);
	flush();
	control->alive[0] = 1;
	pid_t child = fork();
	if (child == 0)
		live();
	int status;
	while (waitpid(-1, &status, 0) > 0) {
		if (status) {
			say("a process ended with status %x\n", status);
			flush();
			kill(0, SIGKILL);
		}
		control->exiting = -1;
		hand_on(-1);
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: mmfuzz FIRST [LAST [OPERATIONS]]\n");
		return 2;
	}
	unsigned long first = strtoul(argv[1], NULL, 0), last = argc > 2 ? strtoul(argv[2], NULL, 0) : first;
	int operations = argc > 3 ? atoi(argv[3]) : 300, bad = 0;
	for (unsigned long seed = first; seed <= last; seed++) {
		pid_t child = fork();
		if (child == 0) {
			setpgid(0, 0);
			run(seed, operations);
		}
		int status;
		if (waitpid(child, &status, 0) != child || status)
			bad = 1;
	}
	return bad;
}
