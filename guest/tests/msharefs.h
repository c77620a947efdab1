/* msharefs.h: the v3 file interface, as the abi-msharefs*.c programs use it. */
#ifndef MSHAREFS_H
#define MSHAREFS_H

#include "region.h"
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

struct mshare_create_args {
	uint64_t region_offset, size, offset;
	uint32_t prot, flags;
	int32_t fd;
};
struct mshare_unmap_args {
	uint64_t region_offset, size;
};
#define CREATE_MAPPING _IOW('x', 0, struct mshare_create_args)
#define UNMAP _IOW('x', 1, struct mshare_unmap_args)
#define ALIGN (512UL * GIB)
#define ANON_FIXED (MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED)
#define DIR "/sys/fs/mshare"

static unused long create_at(int fd, uint64_t at, uint64_t size, uint32_t prot, uint32_t flags, int object, uint64_t offset)
{
	struct mshare_create_args args = { at, size, offset, prot, flags, object };
	return ioctl(fd, CREATE_MAPPING, &args);
}
static unused long unmap_at(int fd, uint64_t at, uint64_t size)
{
	struct mshare_unmap_args args = { at, size };
	return ioctl(fd, UNMAP, &args);
}
static unused int sized(const char *name, uint64_t size)
{
	unlink(name);
	int fd = open(name, O_CREAT | O_RDWR | O_EXCL, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)size))
		printf("FAIL making %s: %s\n", name, error_name(errno)), exit(1);
	return fd;
}
static unused void *window_of(int fd, uint64_t size, int prot)
{
	return mmap(NULL, size, prot, MAP_SHARED, fd, 0);
}

#endif
