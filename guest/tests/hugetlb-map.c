/* hugetlb-map.c: MAP_HUGETLB: the pool and its reservations, faults, copy-on-write and the taking of a child's page, surplus pages, madvise, mremap, walkers. */
#include "hugetlb.h"
#include <sys/resource.h>
#include <sys/uio.h>

static void without_pool(void)
{
	counts("at first");
	show("no pages", huge(HUGE, MAP_PRIVATE));
	char *at = huge(HUGE, MAP_PRIVATE | MAP_NORESERVE);
	printf("MAP_NORESERVE: %s\n", at == MAP_FAILED ? error_name(errno) : "ok");
	write_to("none left", at, 1);
	munmap(at, HUGE);
	show("64 KiB pages", huge(HUGE, MAP_PRIVATE | 16 << MAP_HUGE_SHIFT));
	show("32 MiB pages", huge(HUGE, MAP_PRIVATE | 25 << MAP_HUGE_SHIFT));
	show("1 GiB pages", huge(HUGE, MAP_PRIVATE | MAP_HUGE_1GB));
}

static void private(void)
{
	put(POOL, "6");
	counts("a pool of 6");
	char *at = huge(3 * HUGE - 3 * PAGE, MAP_PRIVATE);
	counts("three private ones");
	read_from("the first", at + 5);
	counts("one read");
	write_to("the second", at + HUGE, 7);
	counts("one written");
	smaps("private", at);
	printf("HugetlbPages %ld\n", proc_number("/proc/self/status", "HugetlbPages:"));
	show("munmap of part of a page", munmap(at, PAGE));
	show("munmap of parts of two", munmap(at + PAGE, HUGE));
	show("munmap of nearly a page", munmap(at + 2 * HUGE, HUGE - PAGE));
	show("mprotect of part of a page", mprotect(at, PAGE, PROT_READ));
	show("mprotect that changes nothing", mprotect(at, PAGE, PROT_READ | PROT_WRITE));
	show("mprotect", mprotect(at + HUGE, HUGE, PROT_READ));
	write_to("read-only", at + HUGE, 8);
	read_from("read-only", at + HUGE);
	show("mprotect back", mprotect(at + HUGE, HUGE, PROT_READ | PROT_WRITE));
	write_to("writable", at + HUGE, 8);
	smaps("split", at + HUGE);
	show("DONTNEED of part of a page", madvise(at, PAGE, MADV_DONTNEED));
	show("DONTNEED inside of a page", madvise(at + PAGE, PAGE, MADV_DONTNEED));
	show("DONTNEED", madvise(at, HUGE, MADV_DONTNEED));
	counts("a page less");
	show("DONTNEED of all", madvise(at, 3 * HUGE, MADV_DONTNEED));
	counts("none");
	write_to("again", at, 9);
	counts("a page");
	for (int advice = 0; advice <= MADV_COLLAPSE; advice++) if (advice < 4 || advice > 7) {
		char name[20];
		snprintf(name, sizeof(name), "madvise %d", advice);
		if (advice != MADV_DONTNEED)
			show(name, madvise(at, HUGE, advice));
	}
	counts("after advice");
	madvise(at, HUGE, MADV_DOFORK);
	show("mlock", mlock(at + 2 * HUGE, PAGE));
	counts("locked");
	smaps("locked", at + 2 * HUGE);
	show("munlock", munlock(at + 2 * HUGE, PAGE));
	show("msync", msync(at, HUGE, MS_SYNC));
	unsigned char core[1536];
	show("mincore", mincore(at, 3 * HUGE, core));
	int in_core[3] = { 0 };
	for (int i = 0; i < 1536; i++)
		in_core[i / 512] += core[i] & 1;
	printf("in core: %d %d %d\n", in_core[0], in_core[1], in_core[2]);
	munmap(at, 3 * HUGE);
	counts("unmapped");
}

static void shared(void)
{
	char *at = huge(2 * HUGE, MAP_SHARED);
	counts("two shared ones");
	write_to("shared", at, 3);
	counts("one written");
	smaps("shared", at);
	show("DONTNEED", madvise(at, HUGE, MADV_DONTNEED));
	counts("nothing lost");
	read_from("still", at);
	show("REMOVE", madvise(at, HUGE, MADV_REMOVE));
	counts("a page less");
	read_from("zeros", at);
	counts("a page again");
	show("REMOVE of part of a page", madvise(at, PAGE, MADV_REMOVE));
	counts("nothing lost");
	mprotect(at, 2 * HUGE, PROT_NONE);
	read_from("PROT_NONE", at);
	mprotect(at, 2 * HUGE, PROT_READ);
	read_from("PROT_READ", at);
	write_to("PROT_READ", at, 1);
	mprotect(at, 2 * HUGE, PROT_READ | PROT_WRITE | PROT_EXEC);
	write_to("all rights", at, 2);
	show("mremap of size 0", mremap(at, 0, HUGE, MREMAP_MAYMOVE));
	munmap(at, HUGE);
	counts("half unmapped");
	munmap(at + HUGE, HUGE);
	counts("unmapped");
}

static void turn(int *ends)
{
	char byte;
	if (read(ends[0], &byte, 1) != 1)
		exit(1);
}

static void pass(int *ends)
{
	if (write(ends[1], "x", 1) != 1)
		exit(1);
}

static void forked(void)
{
	int go[2], back[2];
	if (pipe(go) || pipe(back))
		exit(1);
	char *at = huge(2 * HUGE, MAP_PRIVATE);
	write_to("the parent's", at, 1);
	counts("before fork");
	if (fork() == 0) {
		counts("in the child");
		smaps("the child's", at);
		read_from("child", at);
		write_to("child, another page", at + HUGE, 4);
		counts("not from the reservation");
		write_to("child", at, 5);
		counts("copied");
		pass(back);
		turn(go);
		exit(0);
	}
	turn(back);
	smaps("the parent's", at);
	write_to("parent", at, 6);
	counts("not copied");
	write_to("parent, another page", at + HUGE, 6);
	counts("from the reservation");
	pass(go);
	wait(NULL);
	counts("without the child");
	munmap(at, 2 * HUGE);
	counts("unmapped");
	put(POOL, "1");
	at = huge(HUGE, MAP_PRIVATE);
	write_to("the only page", at, 1);
	if (fork() == 0) {
		read_from("child", at);
		pass(back);
		turn(go);
		read_from("child, whose page was taken", at);
		write_to("child, whose page was taken", at, 2);
		exit(0);
	}
	turn(back);
	write_to("parent", at, 6);
	counts("taken");
	pass(go);
	wait(NULL);
	if (fork() == 0) {
		write_to("child", at, 2);
		read_from("child", at);
		exit(0);
	}
	wait(NULL);
	munmap(at, HUGE);
	counts("unmapped");
}

static void surplus(void)
{
	put(POOL, "3");
	char *at = huge(2 * HUGE, MAP_PRIVATE);
	write_to("one of two", at, 1);
	put(POOL, "0");
	counts("a pool of 0");
	get(POOL);
	get("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
	get("/sys/kernel/mm/hugepages/hugepages-2048kB/surplus_hugepages");
	write_to("the other", at + HUGE, 1);
	counts("in use");
	munmap(at, HUGE);
	counts("one less");
	munmap(at + HUGE, HUGE);
	counts("none");
	put(OVERCOMMIT, "2");
	at = huge(2 * HUGE, MAP_PRIVATE);
	counts("two beyond the pool");
	show("a third", huge(HUGE, MAP_PRIVATE));
	write_to("one", at, 1);
	counts("in use");
	munmap(at, 2 * HUGE);
	counts("none");
	at = huge(3 * HUGE, MAP_PRIVATE | MAP_NORESERVE);
	write_to("first", at, 1);
	write_to("second", at + HUGE, 1);
	write_to("third", at + 2 * HUGE, 1);
	counts("two of three");
	madvise(at, HUGE, MADV_DONTNEED);
	counts("one");
	munmap(at, 3 * HUGE);
	counts("none");
	put(OVERCOMMIT, "0");
	put("/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_overcommit_hugepages", "1");
	put(POOL, "x");
}

static void moved(void)
{
	put(POOL, "5");
	char *at = huge(3 * HUGE, MAP_PRIVATE);
	write_to("first", at, 1);
	write_to("second", at + HUGE, 2);
	show("mremap to more", mremap(at, 3 * HUGE, 4 * HUGE, MREMAP_MAYMOVE));
	show("mremap inside of a page", mremap(at + PAGE, HUGE, HUGE, MREMAP_MAYMOVE));
	printf("mremap to the same: %d\n", mremap(at, PAGE, PAGE, 0) == at);
	char *room = mmap(NULL, 8 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	room = (char *)(((unsigned long)room + HUGE - 1) & -HUGE);
	show("mremap to inside of a page", mremap(at, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + PAGE));
	char *to = mremap(at + HUGE, 2 * HUGE, 2 * HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, room);
	printf("moved: %d\n", to == room);
	counts("moved");
	read_from("there", to);
	read_from("here", at + HUGE);
	write_to("the third", to + HUGE, 3);
	counts("in use");
	show("DONTUNMAP", mremap(at, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0));
	printf("shrunk: %d\n", mremap(to, 2 * HUGE, HUGE, 0) == to);
	counts("shrunk");
	munmap(to, HUGE);
	munmap(at, HUGE);
	counts("unmapped");
	char *fixed = mmap(room + PAGE, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED, -1, 0);
	show("MAP_FIXED inside of a page", fixed);
	fixed = mmap(room, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED, -1, 0);
	printf("MAP_FIXED: %d\n", fixed == room);
	write_to("to the end of the page", room + HUGE - 1, 4);
	munmap(room, HUGE);
	show("an offset inside of a page", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, PAGE));
	at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, (off_t)HUGE);
	smaps("an offset counts", at);
	write_to("there", at, 1);
	munmap(at, HUGE);
	show("length 0", huge(0, MAP_PRIVATE));
	show("MAP_GROWSDOWN", huge(HUGE, MAP_PRIVATE | MAP_GROWSDOWN));
	at = mmap(NULL, HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	read_from("PROT_NONE", at);
	counts("reserved all the same");
	mprotect(at, HUGE, PROT_READ | PROT_WRITE);
	write_to("writable now", at, 2);
	munmap(at, HUGE);
	at = mmap(NULL, HUGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
	counts("populated");
	munmap(at, HUGE);
	at = huge(HUGE, MAP_PRIVATE | MAP_LOCKED);
	counts("locked");
	munmap(at, HUGE);
}

static void walked(void)
{
	char *at = huge(2 * HUGE, MAP_PRIVATE), text[PAGE];
	struct rusage before, after;
	getrusage(RUSAGE_SELF, &before);
	getrusage(RUSAGE_SELF, &before);
	at[0] = 1;
	(void)*(volatile char *)(at + HUGE);
	at[HUGE] = 1;
	getrusage(RUSAGE_SELF, &after);
	printf("faults: %ld minor, %ld major\n", after.ru_minflt - before.ru_minflt, after.ru_majflt - before.ru_majflt);
	int map = open("/proc/self/pagemap", O_RDONLY), memory = open("/proc/self/mem", O_RDWR);
	uint64_t entry[2] = { 0 };
	if (pread(map, &entry[0], 8, (off_t)((unsigned long)at / PAGE * 8)) != 8 || pread(map, &entry[1], 8, (off_t)(((unsigned long)at / PAGE + 5) * 8)) != 8) printf("no pagemap\n");
	printf("pagemap: %lx and %lx, frames %ld apart, the first aligned: %d\n", entry[0] >> 55, entry[1] >> 55, (long)((entry[1] - entry[0]) & 0xffffff), (entry[0] & 511) == 0);
	struct iovec here = { text, PAGE }, there = { at + HUGE - PAGE / 2, PAGE };
	show("process_vm_readv", process_vm_readv(getpid(), &here, 1, &there, 1, 0));
	show("mem, read", pread(memory, text, PAGE, (off_t)(unsigned long)at));
	show("mem, written", pwrite(memory, text, PAGE, (off_t)(unsigned long)at));
	mprotect(at, HUGE, PROT_READ);
	show("mem, written where it is read-only", pwrite(memory, text, PAGE, (off_t)(unsigned long)at));
	close(map);
	close(memory);
	munmap(at, 2 * HUGE);
	/* Code in a huge page: li a0, 42; ret; then another number. */
	static const uint32_t code[] = { 0x02a00513, 0x00008067 };
	at = mmap(NULL, HUGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	for (int i = 0; i < 3; i++) {
		char *place = at + HUGE - PAGE * (unsigned long)(i + 1) - 4 * (unsigned long)i;
		memcpy(place, code, sizeof(code));
		*(uint32_t *)place += (uint32_t)i << 20;
		__builtin___clear_cache(place, place + sizeof(code));
		long sum = 0;
		for (int j = 0; j < 3000; j++)
			sum += ((long (*)(void))place)();
		printf("code: %ld\n", sum / 3000);
	}
	munmap(at, HUGE);
	at = huge(HUGE, MAP_PRIVATE | MAP_NORESERVE);
	put(POOL, "0");
	show("POPULATE_WRITE where none is left", madvise(at, HUGE, MADV_POPULATE_WRITE));
	show("mlock", mlock(at, HUGE));
	int zero = open("/dev/zero", O_RDONLY);
	show("read(2)", read(zero, at, 10));
	close(zero);
	munmap(at, HUGE);
	counts("at last");
}

int main(void)
{
	catch_faults();
	without_pool();
	private();
	shared();
	forked();
	surplus();
	moved();
	walked();
	return 0;
}
