/* core.h: making a core file and looking into it. */
#ifndef CORE_H
#define CORE_H

#include "check.h"
#include <elf.h>
#include <sys/procfs.h>
#include <sys/resource.h>

static unsigned char *core;
static size_t core_size;

/* Maps the file; false (and says so) if it is not there or no core file. */
static unused int load_core(const char *path)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	if (fd < 0 || fstat(fd, &st)) {
		printf("%s: %s\n", path, error_name(errno));
		return 0;
	}
	core_size = (size_t)st.st_size;
	core = mmap(NULL, core_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	Elf64_Ehdr *e = (Elf64_Ehdr *)core;
	return core != MAP_FAILED && core_size > sizeof(*e) && !memcmp(e->e_ident, ELFMAG, SELFMAG) && e->e_type == ET_CORE;
}

static unused void drop_core(void)
{
	munmap(core, core_size);
}

static unused Elf64_Phdr *segment_of(const volatile void *address)
{
	Elf64_Ehdr *e = (Elf64_Ehdr *)core;
	Elf64_Phdr *p = (Elf64_Phdr *)(core + e->e_phoff);
	for (int i = 0; i < e->e_phnum; i++)
		if (p[i].p_type == PT_LOAD && (uintptr_t)address - p[i].p_vaddr < p[i].p_memsz)
			return &p[i];
	return NULL;
}

/* The bytes that the core file has for an address, or null. */
static unused void *in_core(const volatile void *address)
{
	Elf64_Phdr *p = segment_of(address);
	uintptr_t offset = p ? (uintptr_t)address - p->p_vaddr : 0;
	if (!p || offset >= p->p_filesz || p->p_offset + offset >= core_size)
		return NULL;
	return core + p->p_offset + offset;
}

/* Note number `nth` of that type: its contents and, in *size, their length. */
static unused void *note_of(unsigned type, int nth, unsigned *size)
{
	Elf64_Ehdr *e = (Elf64_Ehdr *)core;
	Elf64_Phdr *p = (Elf64_Phdr *)(core + e->e_phoff);
	unsigned char *at = core + p->p_offset, *end = at + p->p_filesz;
	while (at < end) {
		Elf64_Nhdr *n = (Elf64_Nhdr *)at;
		unsigned char *data = at + sizeof(*n) + ((n->n_namesz + 3) & ~3U);
		if (n->n_type == type && nth-- == 0) {
			*size = n->n_descsz;
			return data;
		}
		at = data + ((n->n_descsz + 3) & ~3U);
	}
	return NULL;
}

static unused void limit_core(unsigned long size)
{
	struct rlimit limit = { size, RLIM_INFINITY };
	setrlimit(RLIMIT_CORE, &limit);
}

static unused int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	long n = fd < 0 ? -1 : write(fd, text, strlen(text));
	int error = errno;
	close(fd);
	errno = error;
	return n < 0 ? -1 : 0;
}

#endif
