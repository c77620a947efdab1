/* abi-control.c: passthrough windows, lock, unlock, sync, remap, seals, transfer. */
#include "region.h"
#include <sys/resource.h>
#include <sys/prctl.h>
#include <pwd.h>

static void passthrough(void)
{
	unsigned long size = 4 * GRANULE;
	int fd = region(size);
	map_anon(fd, 0, size, RW);
	char *other = window_on(fd);
	char *through = mshare_attach(fd, 0, 0, NULL, MSHARE_PASSTHROUGH);
	expect(through != MAP_FAILED, "a passthrough window");
	other[PAGE] = 1;
	expect_is(mprotect(through + PAGE, PAGE, PROT_READ), 0, "mprotect of a part");
	expect_text(try_write(other + PAGE), "SEGV_ACCERR", "acts on the region");
	expect_is(mprotect(through + PAGE, PAGE, RW), 0, "and back");
	expect_text(try_write(other + PAGE), "ok", "acts on the region");
	expect_is(madvise(through + PAGE, PAGE, MADV_REMOVE), 0, "madvise");
	expect_is(other[PAGE], 0, "acts on the region");
	expect_is(munmap(through + PAGE, PAGE), 0, "munmap of a part");
	expect_text(try_read(other + PAGE), "SEGV_MAPERR", "acts on the region");
	expect_is(stat_of(fd).windows, 2, "the window stays");
	expect_is(mlock(through + 4 * PAGE, 2 * PAGE), 0, "mlock");
	expect_is(munlock(through + 4 * PAGE, 2 * PAGE), 0, "munlock");
	expect_is(msync(through + 4 * PAGE, PAGE, MS_SYNC), 0, "msync");
	expect_error(mprotect(through, 4 * PAGE, PROT_READ), ENOMEM, "mprotect over a hole");
	expect_error(mremap(through, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED ? -1 : 0, EINVAL, "mremap");
	expect_is(munmap(through, size), 0, "munmap of all of it detaches");
	expect_is(stat_of(fd).windows, 1, "one window is left");
	expect_text(try_read(other + 2 * PAGE), "ok", "and its memory");
	through = mshare_attach(fd, 0, 0, NULL, MSHARE_PASSTHROUGH);
	expect_is(fcntl(fd, F_ADD_SEALS, MSHARE_SEAL_MAP), 0, "seal the map");
	expect_error(munmap(through + 3 * PAGE, PAGE), EPERM, "munmap of a part of a sealed region");
	expect_is(mprotect(through + 3 * PAGE, PAGE, PROT_READ), 0, "mprotect is not sealed");
	expect_is(fcntl(fd, F_ADD_SEALS, MSHARE_SEAL_PROTECT), 0, "seal protection");
	expect_error(mprotect(through + 3 * PAGE, PAGE, RW), EPERM, "mprotect");
	expect_is(mshare_detach(through), 0, "detach");
	mshare_detach(other);
	close(fd);
}

static void locking(void)
{
	unsigned long size = 4 * GRANULE;
	int fd = region(size);
	map_anon(fd, 0, GRANULE, RW);
	expect_is(mshare_lock(fd, 0, 4 * PAGE, 0), 0, "lock");
	expect_is(stat_of(fd).resident, 4 * PAGE, "brings the pages in");
	expect_is(mshare_lock(fd, 16 * PAGE, 4 * PAGE, MLOCK_ONFAULT), 0, "lock ONFAULT");
	expect_is(stat_of(fd).resident, 4 * PAGE, "does not");
	expect_error(mshare_lock(fd, 0, PAGE, 2), EINVAL, "an undefined flag");
	expect_error(mshare_lock(fd, 0, 2 * GRANULE, 0), ENOMEM, "a hole");
	expect_is(mshare_lock(fd, 100, PAGE, 0), 0, "unaligned: whole pages, as mlock2");
	expect_is(mshare_unlock(fd, PAGE + 100, PAGE), 0, "as munlock");
	expect_error(mshare_lock(fd, size, PAGE, 0), EINVAL, "past the end");
	expect_error(mshare_advise(fd, 0, PAGE, MADV_DONTNEED), EINVAL, "DONTNEED of locked memory");
	expect_error(mshare_sync(fd, 0, PAGE, MS_SYNC | MS_INVALIDATE), EBUSY, "INVALIDATE of locked memory");
	expect_is(mshare_unlock(fd, 0, 4 * PAGE), 0, "unlock");
	expect_is(mshare_advise(fd, 0, PAGE, MADV_DONTNEED), 0, "now DONTNEED is fine");
	expect_error(mshare_unlock(fd, 2 * GRANULE, PAGE), ENOMEM, "unlock of a hole");
	expect_error(mshare_unlock(fd, size, PAGE), EINVAL, "unlock past the end");
	expect_is(mshare_unlock(fd, 0, GRANULE), 0, "unlock all");

	expect_is(map_flags(fd, GRANULE, 2 * PAGE, RW, ANON | MAP_FIXED | MAP_LOCKED, -1, 0), GRANULE, "MAP_LOCKED");
	/* With private tables a page that was let go stays in its object, and counts. */
	expect_is(stat_of(fd).resident / PAGE, (stat_of(fd).flags & MSHARE_STAT_NO_SHARE ? 4 : 3) + 2, "brings the pages in");
	expect_in_child({
		/* Without CAP_IPC_LOCK: the limit of the owner counts, which is another process here. */
		struct rlimit none = { 0, 0 };
		setrlimit(RLIMIT_MEMLOCK, &none);
		if (setuid(1000) == 0) {
			expect_is(mshare_lock(fd, 0, PAGE, 0), 0, "the owner is charged, not the caller");
			expect_is(mshare_unlock(fd, 0, PAGE), 0, "unlock");
			int own = region(GRANULE);
			map_anon(own, 0, GRANULE, RW);
			expect_error(mshare_lock(own, 0, PAGE, 0), EPERM, "no right to lock");
		}
	});
	expect_in_child({
		struct rlimit limit = { 4 * PAGE, 4 * PAGE };
		setrlimit(RLIMIT_MEMLOCK, &limit);
		if (setuid(1000) == 0) {
			int own = region(GRANULE);
			map_anon(own, 0, GRANULE, RW);
			expect_error(mshare_lock(own, 0, 5 * PAGE, 0), ENOMEM, "over the limit");
			expect_is(mshare_lock(own, 0, 3 * PAGE, 0), 0, "within the limit");
			expect_error(map_flags(own, 0, 2 * PAGE, RW, ANON | MAP_FIXED | MAP_LOCKED, -1, 0), EAGAIN, "MAP_LOCKED over the limit");
			int second = region(GRANULE);
			map_anon(second, 0, GRANULE, RW);
			expect_error(mshare_lock(second, 0, 2 * PAGE, 0), ENOMEM, "the limit is for all regions of the owner together");
			expect_is(mshare_lock(second, 0, PAGE, 0), 0, "what is left of it");
			char *memory = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			expect_error(mlock(memory, PAGE), ENOMEM, "and for its own memory");
			expect_error((long)mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0), EAGAIN, "too");
			expect_is(in_child(_exit(mlock(memory, PAGE))), 0, "not for what a child locks");
			close(second);
			expect_is(mlock(memory, PAGE), 0, "a region that is gone counts no more");
		}
	});
	close(fd);
}

static void syncing(void)
{
	unsigned long size = 4 * GRANULE;
	char path[] = "/tmp/abi-control-XXXXXX", byte = 0;
	int fd = region(size), file = mkstemp(path);
	if (ftruncate(file, 2 * PAGE))
		exit(1);
	map_file(fd, 0, 2 * PAGE, RW, file, 0);
	char *window = window_on(fd);
	window[PAGE] = 7;
	expect_is(mshare_sync(fd, 0, 2 * PAGE, MS_SYNC), 0, "sync");
	expect_is(mshare_sync(fd, 0, 2 * PAGE, MS_ASYNC), 0, "ASYNC");
	expect_is(mshare_sync(fd, 0, 2 * PAGE, 0), 0, "no flags");
	expect(pread(file, &byte, 1, PAGE) == 1 && byte == 7, "the file has it");
	expect_error(mshare_sync(fd, 0, PAGE, MS_SYNC | MS_ASYNC), EINVAL, "both");
	expect_error(mshare_sync(fd, 0, PAGE, 64), EINVAL, "an undefined flag");
	expect_error(mshare_sync(fd, 100, PAGE, MS_SYNC), EINVAL, "unaligned");
	expect_error(mshare_sync(fd, GRANULE, PAGE, MS_SYNC), ENOMEM, "a hole");
	expect_error(mshare_sync(fd, 0, GRANULE, MS_SYNC), ENOMEM, "a range with a hole");
	expect_error(mshare_sync(fd, size, PAGE, MS_SYNC), EINVAL, "past the end");
	mshare_detach(window);
	unlink(path);
	close(file);
	close(fd);
}

static long move(int fd, unsigned long from, unsigned long size, unsigned long to, unsigned long new_size, unsigned flags)
{
	struct mshare_remap args = { from, size, to, new_size, flags, 0 };
	return mshare_remap(fd, &args, sizeof(args));
}

static void remapping(void)
{
	unsigned long size = 4 * GRANULE;
	int fd = region(size);
	map_anon(fd, 0, 4 * PAGE, RW);
	char *window = window_on(fd), *second = mshare_attach(fd, 0, 0, (void *)(0x3000000000UL + 5 * GRANULE), MSHARE_FIXED);
	for (int i = 0; i < 4; i++)
		window[i * PAGE] = (char)(i + 1);
	expect_is(second[PAGE], 2, "a second window");
	expect_is(move(fd, 0, 4 * PAGE, 0, 4 * PAGE, 0), 0, "the same size");
	expect_is(move(fd, 0, 4 * PAGE, 2 * GRANULE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED), 2 * GRANULE, "moving");
	expect_text(try_read(window), "SEGV_MAPERR", "it is gone where it was");
	expect_text(try_read(second + PAGE), "SEGV_MAPERR", "in every window");
	expect(window[2 * GRANULE] == 1 && second[2 * GRANULE + 3 * PAGE] == 4, "and where it should be");
	expect_is(move(fd, 2 * GRANULE, 4 * PAGE, 0, 2 * PAGE, 0), 2 * GRANULE, "shrinking");
	expect_text(try_read(window + 2 * GRANULE + 2 * PAGE), "SEGV_MAPERR", "takes the tail");
	expect_is(stat_of(fd).mapped, 2 * PAGE, "of what is mapped");
	expect_is(move(fd, 2 * GRANULE, 2 * PAGE, 0, 4 * PAGE, 0), 2 * GRANULE, "growing in place");
	expect_is(window[2 * GRANULE + PAGE], 2, "keeps the contents");
	map_anon(fd, 2 * GRANULE + 4 * PAGE, PAGE, RW);
	map_anon(fd, 0, PAGE, RW);
	expect_error(move(fd, 2 * GRANULE, 4 * PAGE, 0, 8 * PAGE, 0), ENOMEM, "growing where there is no room");
	expect_is(move(fd, 2 * GRANULE, 4 * PAGE, 0, 8 * PAGE, MREMAP_MAYMOVE), PAGE, "it may move: first fit");
	expect(window[PAGE] == 1 && second[2 * PAGE] == 2, "with its contents");
	expect_text(try_read(window + 2 * GRANULE), "SEGV_MAPERR", "and is gone where it was");
	expect_error(move(fd, 0, 0, 0, PAGE, MREMAP_MAYMOVE), EINVAL, "old size 0");
	expect_error(move(fd, 0, PAGE, 0, 0, 0), EINVAL, "new size 0");
	expect_error(move(fd, 0, PAGE, GRANULE, PAGE, MREMAP_MAYMOVE | 4), EINVAL, "DONTUNMAP");
	expect_error(move(fd, 0, PAGE, GRANULE, PAGE, MREMAP_FIXED), EINVAL, "FIXED without MAYMOVE");
	expect_error(move(fd, 100, PAGE, 0, PAGE, 0), EINVAL, "unaligned");
	expect_error(move(fd, 0, PAGE, 100, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED), EINVAL, "unaligned target");
	expect_error(move(fd, 0, PAGE, 0, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED), EINVAL, "overlap");
	expect_error(move(fd, size, PAGE, 0, PAGE, 0), EINVAL, "past the end");
	expect_error(move(fd, 0, PAGE, size, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED), EINVAL, "target past the end");
	expect_error(move(fd, 3 * GRANULE, PAGE, 0, 2 * PAGE, MREMAP_MAYMOVE), EFAULT, "a hole");
	expect_error(mshare_remap(fd, NULL, 40), EFAULT, "NULL");
	struct mshare_remap args = { 0, PAGE, 0, PAGE, 0, 1 };
	expect_error(mshare_remap(fd, &args, sizeof(args)), EINVAL, "reserved not 0");
	expect_error(mshare_remap(fd, &args, 39), EINVAL, "shorter than the first version");
	expect_error(mshare_remap(fd, &args, PAGE + 1), E2BIG, "longer than a page");
	mshare_detach(window);
	mshare_detach(second);
	close(fd);
}

static void seals(void)
{
	int fd = region(4 * GRANULE), view = reopen(fd, O_RDONLY);
	map_anon(fd, 0, GRANULE, RW);
	expect_is(fcntl(fd, F_GET_SEALS), 0, "no seals at first");
	expect_error(fcntl(view, F_ADD_SEALS, F_SEAL_GROW), EPERM, "F_ADD_SEALS on a read-only descriptor");
	expect_error(fcntl(fd, F_ADD_SEALS, 0x400), EINVAL, "an unknown seal");
	expect_error(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EINVAL, "F_SEAL_WRITE");
	expect_is(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0, "GROW");
	expect_error(ftruncate(fd, 5 * GRANULE), EPERM, "growing");
	expect_is(ftruncate(fd, 3 * GRANULE), 0, "shrinking is fine");
	expect_is(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0, "SHRINK");
	expect_error(ftruncate(fd, 2 * GRANULE), EPERM, "shrinking");
	expect_error(fallocate(fd, 0, 0, 4 * GRANULE), EPERM, "growing by fallocate");
	expect_is(mshare_protect(fd, 0, PAGE, PROT_READ), 0, "protect is not sealed");
	expect_is(fcntl(fd, F_ADD_SEALS, MSHARE_SEAL_PROTECT), 0, "PROTECT");
	expect_error(mshare_protect(fd, 0, PAGE, RW), EPERM, "protect");
	expect_is(map_anon(fd, GRANULE, PAGE, RW), GRANULE, "map is not sealed");
	expect_is(fcntl(fd, F_ADD_SEALS, MSHARE_SEAL_MAP), 0, "MAP");
	expect_error(map_anon(fd, 2 * GRANULE, PAGE, RW), EPERM, "map");
	expect_error(mshare_unmap(fd, GRANULE, PAGE), EPERM, "unmap");
	expect_error(move(fd, GRANULE, PAGE, 0, 2 * PAGE, 0), EPERM, "remap");
	expect_error(mshare_advise(fd, GRANULE, PAGE, MADV_REMOVE), EPERM, "REMOVE");
	expect_error(mshare_advise(fd, GRANULE, PAGE, MADV_DONTNEED), EPERM, "DONTNEED");
	expect_is(mshare_advise(fd, GRANULE, PAGE, MADV_WILLNEED), 0, "other advice is not sealed");
	expect_is(fcntl(fd, F_GET_SEALS), F_SEAL_GROW | F_SEAL_SHRINK | MSHARE_SEAL_PROTECT | MSHARE_SEAL_MAP, "F_GET_SEALS");
	expect_is(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), 0, "SEAL");
	expect_error(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), EPERM, "no more seals");
	char *window = window_on(fd);
	expect_text(try_write(window + GRANULE), "ok", "a sealed region is used as before");
	mshare_detach(window);
	close(fd);
	int theirs;
	pid_t owner = other_owner(GRANULE, &theirs);
	fcntl(theirs, F_ADD_SEALS, MSHARE_SEAL_MAP | MSHARE_SEAL_PROTECT | F_SEAL_SEAL);
	window = window_on(theirs);
	expect_text(try_write(window), "ok", "another's sealed region");
	end_owner(owner);
	expect_text(try_read(window), "SEGV_MAPERR", "its owner's end empties it all the same");
	mshare_detach(window);
	close(view);
}

static int pidfd(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

static void transfer(void)
{
	int fd = region(GRANULE), ready[2], go[2];
	map_anon(fd, 0, GRANULE, RW);
	mshare_lock(fd, 0, 4 * PAGE, 0);
	if (pipe(ready) || pipe(go))
		exit(1);
	char byte = 0;
	/* The heir has no window at first. */
	pid_t heir = fork();
	if (heir == 0) {
		char *window = NULL;
		while (read(go[0], &byte, 1) == 1 && byte != 'q') {
			if (byte == 'a')
				window = window_on(fd), window[0] = 1;
			if (byte == 'd')
				mshare_detach(window);
			if (byte == 'u' && setuid(1000))
				_exit(1);
			if (byte == 't')
				byte = mshare_transfer(fd, pidfd(getppid())) == -1 && errno == EPERM ? 'p' : '?';
			if (write(ready[1], &byte, 1) != 1)
				_exit(1);
		}
		for (;;)
			pause();
	}
#define ask(what) (byte = (what), write(go[1], &byte, 1) == 1 && read(ready[0], &byte, 1) == 1)
	int to = pidfd(heir);
	expect_error(mshare_transfer(fd, to), EINVAL, "to a process without a window");
	expect(ask('a'), "it attaches");
	expect_error(mshare_transfer(fd, -1), EBADF, "a bad pidfd");
	expect_error(mshare_transfer(fd, fd), EBADF, "no pidfd");
	expect_error(mshare_transfer(-1, to), EBADF, "a bad descriptor");
	expect_error(mshare_transfer(to, to), EINVAL, "no region");
	pid_t gone = fork();
	if (gone == 0)
		_exit(0);
	int dead = pidfd(gone);
	siginfo_t info;
	waitid(P_PID, (id_t)gone, &info, WEXITED | WNOWAIT);
	expect_error(mshare_transfer(fd, dead), ESRCH, "to a zombie");
	ended(gone);
	expect_error(mshare_transfer(fd, dead), ESRCH, "to a process that is gone");
	expect(ask('t') && byte == 'p', "who is not the owner: EPERM");
	expect_is(mshare_transfer(fd, to), 0, "transfer");
	expect_is(stat_of(fd).owner, heir, "the heir owns it");
	expect_error(mshare_transfer(fd, to), EPERM, "a second time");
	char *window = window_on(fd);
	expect_is(window[0], 1, "the memory is there");
	kill(heir, SIGKILL);
	ended(heir);
	expect_text(try_read(window), "SEGV_MAPERR", "the new owner's end empties the region");
	expect_error(mshare_transfer(fd, to), ENXIO, "then ENXIO");
	mshare_detach(window);
	close(fd);

	/* The creator goes, the heir keeps the region. */
	fd = region(GRANULE);
	int report[2];
	if (pipe(report))
		exit(1);
	pid_t creator = fork();
	if (creator == 0) {
		int own = region(GRANULE);
		map_anon(own, 0, GRANULE, RW);
		char *mine = window_on(own);
		strcpy(mine, "inherited");
		pid_t child = fork();
		if (child == 0) {
			/* Its own window by fork; waits until its parent is gone. */
			while (getppid() == creator || stat_of(own).owner != (unsigned)getpid())
				usleep(1000);
			usleep(5000);
			expect_text(mine, "inherited", "the creator is gone, the heir has the memory");
			expect_is(map_anon(own, 0, PAGE, RW), 0, "and may change it");
			byte = failures == 0;
			_exit(write(report[1], &byte, 1) != 1);
		}
		expect_is(mshare_transfer(own, pidfd(child)), 0, "transfer to a child");
		_exit(failures != 0);
	}
	expect_is(ended(creator), 0, "the creator exits");
	expect(read(report[0], &byte, 1) == 1 && byte == 1, "the heir is content");
	close(fd);

	/* Another user id. */
	fd = region(GRANULE);
	heir = fork();
	if (heir == 0) {
		window_on(fd);
		byte = setuid(1000) == 0;
		if (write(ready[1], &byte, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	if (read(ready[0], &byte, 1) == 1 && byte)
		expect_error(mshare_transfer(fd, pidfd(heir)), EINVAL, "to another user's process");
	kill(heir, SIGKILL);
	ended(heir);
	close(fd);
}

int main(void)
{
	catch_faults();
	passthrough();
	locking();
	syncing();
	remapping();
	seals();
	transfer();
	return failures != 0;
}
