/* abi-region.c: mshare_unmap, mshare_protect, mshare_advise and mshare_stat: what they do for every sharer, and every errno. */
#include "region.h"

/* A second process with a window of its own on fd, which answers questions: 'r' or 'w' and an offset; how the access ended comes back. */
static int ask_pipe, answer_pipe;

static pid_t sharer(int fd)
{
	int ask[2], answer[2];
	if (pipe(ask) || pipe(answer))
		exit(1);
	pid_t pid = fork();
	if (pid == 0) {
		struct { char how; unsigned long offset; } question;
		char *window = window_on(fd);
		close(ask[1]);
		while (read(ask[0], &question, sizeof(question)) == sizeof(question)) {
			char text[32] = "";
			char *at = window + question.offset;
			const char *how = question.how == 'w' ? try_write(at) : try_read(at);
			strcpy(text, how);
			if (question.how == 'v')
				snprintf(text, sizeof(text), "%d", *(unsigned char *)at);
			if (write(answer[1], text, sizeof(text)) != sizeof(text))
				_exit(1);
		}
		_exit(0);
	}
	close(ask[0]);
	close(answer[1]);
	ask_pipe = ask[1];
	answer_pipe = answer[0];
	return pid;
}

static const char *other(char how, unsigned long offset)
{
	static char text[32];
	struct { char how; unsigned long offset; } question = { how, offset };
	if (write(ask_pipe, &question, sizeof(question)) != sizeof(question) || read(answer_pipe, text, sizeof(text)) != sizeof(text))
		return "no answer";
	return text;
}

static void unmap(void)
{
	int fd = region(4 * GRANULE);
	unsigned long size = 4 * GRANULE;
	map_anon(fd, 0, size, RW);
	pid_t pid = sharer(fd);
	char *window = window_on(fd);
	memset(window, 5, 4 * PAGE);
	expect_text(other('v', PAGE), "5", "another process sees what is written");
	expect_is(mshare_unmap(fd, PAGE, PAGE), 0, "unmap a page");
	expect_text(try_read(window + PAGE), "SEGV_MAPERR", "it is gone here");
	expect_text(other('r', PAGE), "SEGV_MAPERR", "and there");
	expect_text(other('v', 2 * PAGE), "5", "its neighbour is not");
	expect_is(stat_of(fd).mapped, size - PAGE, "stat: one page less is mapped");
	expect_is(mshare_unmap(fd, PAGE, PAGE), 0, "unmapping a hole");
	expect_is(mshare_unmap(fd, 0, 3 * PAGE), 0, "unmapping a range with a hole");
	expect_text(other('r', 2 * PAGE), "SEGV_MAPERR", "takes what was there");
	expect_text(other('v', 3 * PAGE), "5", "and nothing else");
	expect_is(mshare_unmap(fd, 3 * PAGE, 1), 0, "a size is rounded up to a page");
	expect_text(try_read(window + 3 * PAGE), "SEGV_MAPERR", "that page is gone");
	expect_error(mshare_unmap(fd, 0, 0), EINVAL, "size 0");
	expect_error(mshare_unmap(fd, 100, PAGE), EINVAL, "unaligned");
	expect_error(mshare_unmap(fd, size, PAGE), EINVAL, "at the end");
	expect_error(mshare_unmap(fd, size - PAGE, 2 * PAGE), EINVAL, "past the end");
	expect_error(mshare_unmap(fd, PAGE, ~0UL), EINVAL, "overflow");
	expect_is(mshare_unmap(fd, 0, size), 0, "all of it");
	expect_is(stat_of(fd).mapped, 0, "nothing is mapped");
	expect_is(stat_of(fd).resident, 0, "nothing is resident");
	map_anon(fd, GRANULE, PAGE, RW);
	expect_text(other('w', GRANULE), "ok", "a new object is there for others at once");
	expect_is(window[GRANULE], 1, "and shared");
	kill(pid, SIGKILL);
	ended(pid);
	mshare_detach(window);
	close(fd);
}

static void protect(void)
{
	int fd = region(4 * GRANULE);
	unsigned long size = 4 * GRANULE;
	map_anon(fd, 0, 2 * GRANULE, RW);
	pid_t pid = sharer(fd);
	char *window = window_on(fd);
	expect_text(other('w', PAGE), "ok", "a page written there");
	window[2 * PAGE] = 3;
	expect_is(mshare_protect(fd, PAGE, PAGE, PROT_READ), 0, "read-only");
	expect_text(try_write(window + PAGE), "SEGV_ACCERR", "writing here");
	expect_text(other('w', PAGE), "SEGV_ACCERR", "writing there");
	expect_text(other('r', PAGE), "ok", "reading there");
	expect_text(other('w', 2 * PAGE), "ok", "its neighbour can be written");
	expect_is(mshare_protect(fd, PAGE, PAGE, PROT_NONE), 0, "PROT_NONE");
	expect_text(try_read(window + PAGE), "SEGV_ACCERR", "reading here");
	expect_text(other('r', PAGE), "SEGV_ACCERR", "reading there");
	expect_is(mshare_protect(fd, PAGE, PAGE, RW), 0, "RW again");
	expect_text(other('w', PAGE), "ok", "writing there");
	expect_is(mshare_protect(fd, 0, 2 * GRANULE, PROT_READ), 0, "2 tables at once");
	expect_text(other('w', 3 * PAGE), "SEGV_ACCERR", "an untouched page too");
	expect_text(other('w', 2 * GRANULE - 1), "SEGV_ACCERR", "to the end");
	expect_is(mshare_protect(fd, 0, 2 * GRANULE, RW), 0, "and back");
	expect_text(other('w', 2 * GRANULE - 1), "ok", "to the end");
	expect_error(mshare_protect(fd, GRANULE, 2 * GRANULE, PROT_READ), ENOMEM, "a hole at the end");
	expect_error(mshare_protect(fd, 3 * GRANULE, PAGE, PROT_READ), ENOMEM, "only a hole");
	expect_is(mshare_protect(fd, 0, 0, PROT_READ), 0, "size 0");
	expect_is(mshare_protect(fd, 0, 100, RW), 0, "a size within a page");
	expect_error(mshare_protect(fd, 100, PAGE, PROT_READ), EINVAL, "unaligned");
	expect_error(mshare_protect(fd, 0, PAGE, 8), EINVAL, "prot beyond RWX");
	expect_error(mshare_protect(fd, 0, PAGE, PROT_READ | PROT_GROWSDOWN), EINVAL, "PROT_GROWSDOWN");
	expect_error(mshare_protect(fd, size, PAGE, PROT_READ), EINVAL, "at the end");
	expect_error(mshare_protect(fd, size - PAGE, 2 * PAGE, PROT_READ), EINVAL, "past the end");
	kill(pid, SIGKILL);
	ended(pid);
	mshare_detach(window);
	close(fd);
}

static void advise(void)
{
	int fd = region(4 * GRANULE), object = memfd(4 * PAGE);
	unsigned long size = 4 * GRANULE;
	map_anon(fd, 0, 4 * PAGE, RW);
	map_file(fd, GRANULE, 4 * PAGE, RW, object, 0);
	char *window = window_on(fd);
	memset(window, 7, 4 * PAGE);
	memset(window + GRANULE, 7, 4 * PAGE);
	expect_is(mshare_advise(fd, 0, PAGE, MADV_DONTNEED), 0, "DONTNEED of anonymous memory");
	expect_is(window[0], 7, "which is shared: the contents stay");
	expect_is(mshare_advise(fd, PAGE, PAGE, MADV_REMOVE), 0, "REMOVE of anonymous memory");
	expect_is(window[PAGE], 0, "the contents are gone");
	expect_is(window[2 * PAGE], 7, "of that page only");
	expect_is(mshare_advise(fd, GRANULE + PAGE, PAGE, MADV_REMOVE), 0, "REMOVE of a memfd's page");
	char byte = 9;
	expect(pread(object, &byte, 1, PAGE) == 1 && byte == 0, "punches a hole into it");
	expect_is(window[GRANULE + PAGE], 0, "which the window shows");
	int benign[] = { MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_COLD, MADV_PAGEOUT, MADV_DONTDUMP, MADV_DODUMP };
	for (unsigned i = 0; i < sizeof(benign) / sizeof(*benign); i++)
		expect_is(mshare_advise(fd, 0, 4 * PAGE, benign[i]), 0, "a hint");
	expect_is(window[2 * PAGE], 7, "hints change nothing");
	expect_error(mshare_advise(fd, 0, PAGE, MADV_FREE), EINVAL, "FREE of shared memory");
	expect_error(mshare_advise(fd, 0, PAGE, 4711), EINVAL, "unknown advice");
	expect_error(mshare_advise(fd, 100, PAGE, MADV_DONTNEED), EINVAL, "unaligned");
	expect_error(mshare_advise(fd, size, PAGE, MADV_DONTNEED), EINVAL, "at the end");
	expect_error(mshare_advise(fd, size - PAGE, 2 * PAGE, MADV_DONTNEED), EINVAL, "past the end");
	expect_error(mshare_advise(fd, 2 * PAGE, GRANULE, MADV_DONTNEED), ENOMEM, "a range with a hole");
	expect_error(mshare_advise(fd, 2 * GRANULE, PAGE, MADV_DONTNEED), ENOMEM, "only a hole");
	expect_is(mshare_advise(fd, 2 * GRANULE, 0, MADV_DONTNEED), 0, "size 0");
	map_anon(fd, 2 * GRANULE, 8 * PAGE, RW);
	unsigned long before = stat_of(fd).resident;
	expect_is(mshare_advise(fd, 2 * GRANULE, 8 * PAGE, MADV_POPULATE_WRITE), 0, "POPULATE_WRITE");
	expect_is(stat_of(fd).resident - before, 8 * PAGE, "brings 8 pages in");
	expect_is(mshare_advise(fd, 2 * GRANULE, 8 * PAGE, MADV_POPULATE_READ), 0, "POPULATE_READ");
	expect_error(mshare_advise(fd, 3 * GRANULE, PAGE, MADV_POPULATE_READ), ENOMEM, "POPULATE_READ of a hole");
	mshare_protect(fd, 2 * GRANULE, PAGE, PROT_READ);
	expect_error(mshare_advise(fd, 2 * GRANULE, PAGE, MADV_POPULATE_WRITE), EINVAL, "POPULATE_WRITE of read-only memory");
	mshare_protect(fd, 2 * GRANULE, PAGE, PROT_WRITE);
	expect_error(mshare_advise(fd, 2 * GRANULE, PAGE, MADV_POPULATE_READ), EINVAL, "POPULATE_READ of write-only memory");
	expect_error(madvise(window + 2 * GRANULE, PAGE, MADV_POPULATE_READ), EINVAL, "through a window");
	mshare_detach(window);
	close(fd);
	close(object);
}

static void stat_call(void)
{
	struct { struct mshare_stat st; char more[PAGE]; } big;
	int fd = region(4 * GRANULE);
	struct mshare_stat st = stat_of(fd);
	expect_is(sizeof(st), 80, "struct mshare_stat has 80 bytes");
	expect_is(st.size, 4 * GRANULE, "size");
	expect_is(st.granule, GRANULE, "granule");
	expect(st.mapped == 0 && st.resident == 0 && st.faults == 0 && st.links == 0, "nothing in it yet");
	expect_is(st.view_table_bytes, 0, "no read-only root");
	expect_is(st.owner, getpid(), "owner");
	expect(st.windows == 0 && st.sharers == 0, "no windows");
	expect(st.flags & MSHARE_STAT_OWNED, "owned");
	expect((st.flags & ~(MSHARE_STAT_OWNED | MSHARE_STAT_NO_SHARE)) == 0, "no other flags");
	int shared = !(st.flags & MSHARE_STAT_NO_SHARE);
	map_anon(fd, 0, GRANULE, RW);
	char *window = window_on(fd), *second = window_on(fd);
	memset(window, 1, 3 * PAGE);
	(void)*(volatile char *)second;
	st = stat_of(fd);
	expect_is(st.mapped, GRANULE, "mapped");
	expect_is(st.resident, 3 * PAGE, "resident: each frame once");
	expect_is(st.windows, 2, "windows");
	expect_is(st.sharers, 1, "sharers are address spaces");
	if (shared) {
		expect_is(st.faults, 3, "faults");
		expect_is(st.links, 2, "links: one entry for each window");
		expect_is(st.table_bytes, 3 * PAGE, "tables: one for each level below the root");
	}
	pid_t child = fork();
	if (child == 0) {
		(void)*(volatile char *)window;
		struct mshare_stat inner = stat_of(fd);
		expect_is(inner.sharers, 2, "sharers after fork");
		expect_is(inner.windows, 4, "windows after fork");
		if (shared) {
			expect_is(inner.links, 3, "links after a touch by the child");
			expect_is(inner.faults, 3, "which was no fault in the region");
		}
		_exit(failures != 0);
	}
	expect_is(ended(child), 0, "the child is content");
	st = stat_of(fd);
	expect_is(st.sharers, 1, "sharers after its exit");
	if (shared)
		expect_is(st.links, 2, "links after its exit");
	memset(&big, 0xee, sizeof(big));
	expect_error(mshare_stat(fd, &big.st, 79), EINVAL, "shorter than the first version");
	expect_error(mshare_stat(fd, &big.st, 0), EINVAL, "usize 0");
	expect_error(mshare_stat(fd, &big.st, PAGE + 1), E2BIG, "longer than a page");
	expect_error(mshare_stat(fd, NULL, sizeof(st)), EFAULT, "NULL");
	expect_is(mshare_stat(fd, &big.st, 200), 0, "longer than the structure");
	expect(big.st.size == 4 * GRANULE && big.more[0] == 0 && big.more[119] == 0, "the rest is zeroed");
	expect_is((unsigned char)big.more[120], 0xee, "and nothing beyond is written");
	mshare_detach(window);
	mshare_detach(second);
	close(fd);
}

int main(void)
{
	catch_faults();
	unmap();
	protect();
	advise();
	stat_call();
	return failures != 0;
}
