/*
 * The workloads of `npm run bench`: one program, built for riscv64 and natively from this source, so that every engine runs the same
 * code. `workloads NAME [SCALE]` runs one and prints "NAME CHECKSUM NANOSECONDS OPERATIONS"; the checksum must be the same everywhere.
 * SCALE (default 100) is a percentage of the usual amount of work.
 */
#define _GNU_SOURCE
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t nanoseconds(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t seed = 88172645463325252u;
static uint64_t next(void) {
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* CRC-32 by table, a byte at a time. */
static uint64_t crc(long n) {
	static uint32_t table[256];
	static uint8_t data[1 << 16];
	uint32_t c = ~0u;
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t r = i;
		for (int k = 0; k < 8; k++)
			r = r & 1 ? 0xedb88320u ^ (r >> 1) : r >> 1;
		table[i] = r;
	}
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)next();
	for (long k = 0; k < n; k++)
		for (size_t i = 0; i < sizeof data; i++)
			c = table[(c ^ data[i]) & 0xff] ^ (c >> 8);
	return c;
}

static int ascending(const void *a, const void *b) {
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

/* The C library's qsort: indirect calls of the comparison. */
static uint64_t sort(long n) {
	enum { COUNT = 100000 };
	uint64_t *v = malloc(COUNT * sizeof *v), sum = 0;
	for (long k = 0; k < n; k++) {
		for (int i = 0; i < COUNT; i++)
			v[i] = next();
		qsort(v, COUNT, sizeof *v, ascending);
		for (int i = 0; i < COUNT; i += 97)
			sum = sum * 31 + v[i];
	}
	free(v);
	return sum;
}

static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

/* SHA-256's compression function: 32-bit arithmetic. */
static uint64_t sha256(long n) {
	uint32_t k[64], h[8], w[64];
	for (int i = 0; i < 64; i++)
		k[i] = (uint32_t)next();
	for (int i = 0; i < 8; i++)
		h[i] = (uint32_t)next();
	for (long round = 0; round < n; round++) {
		for (int i = 0; i < 16; i++)
			w[i] = (uint32_t)round * 2654435761u + (uint32_t)i;
		for (int i = 16; i < 64; i++) {
			uint32_t a = w[i - 15], b = w[i - 2];
			w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7] + (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
		}
		uint32_t s[8];
		memcpy(s, h, sizeof s);
		for (int i = 0; i < 64; i++) {
			uint32_t t1 = s[7] + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
			uint32_t t2 = (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
			s[7] = s[6], s[6] = s[5], s[5] = s[4], s[4] = s[3] + t1, s[3] = s[2], s[2] = s[1], s[1] = s[0], s[0] = t1 + t2;
		}
		for (int i = 0; i < 8; i++)
			h[i] += s[i];
	}
	return (uint64_t)h[0] << 32 | h[1];
}

/* Pointer chasing over 16 MiB in random order: every step misses caches and TLBs. */
static uint64_t chase(long n) {
	enum { COUNT = 16 << 20 >> 3 };
	uint64_t *v = malloc(COUNT * sizeof *v), at = 0;
	for (uint64_t i = 0; i < COUNT; i++)
		v[i] = i;
	for (uint64_t i = COUNT - 1; i > 0; i--) { /* Sattolo: one cycle */
		uint64_t j = next() % i, t = v[i];
		v[i] = v[j], v[j] = t;
	}
	for (long k = 0; k < n; k++)
		at = v[at];
	free(v);
	return at;
}

/* A bytecode interpreter that counts primes: an indirect jump for every instruction of its own. */
static uint64_t interpreter(long n) {
	enum { SET, ADD, MOD, JNZ, JLT, INC, COUNT, END };
	/* for each i below n, try the divisors 2 to 39 until one divides it */
	static const int code[] = { SET, 0, 2, SET, 1, 2, MOD, 2, 0, 1, JNZ, 2, 17, JLT, 1, 0, 24, INC, 1, JLT, 1, 3, 6, COUNT, INC, 0, JLT, 0, 4, 3, END };
	long r[5] = { 0, 0, 0, 40, n };
	uint64_t counted = 0, steps = 0;
	for (const int *pc = code;; steps++)
		switch (*pc) {
		case SET: r[pc[1]] = pc[2], pc += 3; break;
		case ADD: r[pc[1]] += r[pc[2]], pc += 3; break;
		case MOD: r[pc[1]] = r[pc[2]] % r[pc[3]], pc += 4; break;
		case JNZ: pc = r[pc[1]] ? code + pc[2] : pc + 3; break;
		case JLT: pc = r[pc[1]] < r[pc[2]] ? code + pc[3] : pc + 4; break;
		case INC: r[pc[1]]++, pc += 2; break;
		case COUNT: counted++, pc += 1; break;
		default: return counted * 1000003 + steps;
		}
}

/* The solar system in doubles: additions, multiplications, a square root and a division a pair. */
static uint64_t nbody(long n) {
	double p[5][7];
	for (int i = 0; i < 5; i++)
		for (int k = 0; k < 7; k++)
			p[i][k] = (double)(next() % 1000) / 100.0 + 1.0;
	for (long step = 0; step < n; step++) {
		for (int i = 0; i < 5; i++)
			for (int j = i + 1; j < 5; j++) {
				double dx = p[i][0] - p[j][0], dy = p[i][1] - p[j][1], dz = p[i][2] - p[j][2];
				double d2 = dx * dx + dy * dy + dz * dz + 0.01, mag = 1e-3 / (d2 * sqrt(d2));
				p[i][3] -= dx * p[j][6] * mag, p[i][4] -= dy * p[j][6] * mag, p[i][5] -= dz * p[j][6] * mag;
				p[j][3] += dx * p[i][6] * mag, p[j][4] += dy * p[i][6] * mag, p[j][5] += dz * p[i][6] * mag;
			}
		for (int i = 0; i < 5; i++)
			for (int k = 0; k < 3; k++)
				p[i][k] += 1e-3 * p[i][k + 3];
	}
	uint64_t bits;
	memcpy(&bits, &p[0][0], 8);
	return bits;
}

/* 128 x 128 matrices of doubles. */
static uint64_t matmul(long n) {
	enum { SIDE = 128 };
	static double a[SIDE][SIDE], b[SIDE][SIDE], c[SIDE][SIDE];
	for (int i = 0; i < SIDE; i++)
		for (int j = 0; j < SIDE; j++)
			a[i][j] = (double)(next() % 1000), b[i][j] = (double)(next() % 1000);
	for (long k = 0; k < n; k++)
		for (int i = 0; i < SIDE; i++)
			for (int j = 0; j < SIDE; j++) {
				double sum = (double)k;
				for (int l = 0; l < SIDE; l++)
					sum += a[i][l] * b[l][j];
				c[i][j] = sum;
			}
	uint64_t bits;
	memcpy(&bits, &c[SIDE - 1][SIDE - 2], 8);
	return bits;
}

/* The same with fused multiply-add, which compilers for riscv64 emit by themselves. */
static uint64_t matfma(long n) {
	enum { SIDE = 128 };
	static double a[SIDE][SIDE], b[SIDE][SIDE], c[SIDE][SIDE];
	for (int i = 0; i < SIDE; i++)
		for (int j = 0; j < SIDE; j++)
			a[i][j] = (double)(next() % 1000) / 7.0, b[i][j] = (double)(next() % 1000) / 3.0;
	for (long k = 0; k < n; k++)
		for (int i = 0; i < SIDE; i++)
			for (int j = 0; j < SIDE; j++) {
				double sum = (double)k;
				for (int l = 0; l < SIDE; l++)
					sum = fma(a[i][l], b[l][j], sum);
				c[i][j] = sum;
			}
	uint64_t bits;
	memcpy(&bits, &c[SIDE - 1][SIDE - 2], 8);
	return bits;
}

/* The C library's string functions, on short and long strings. */
static uint64_t strings(long n) {
	static char text[4096], copy[4096];
	uint64_t sum = 0;
	for (size_t i = 0; i < sizeof text - 1; i++)
		text[i] = (char)('a' + next() % 26);
	for (size_t i = 60; i < sizeof text - 1; i += 61)
		text[i] = ' ';
	for (long k = 0; k < n; k++) {
		text[(size_t)k % 4000] ^= 1;
		memcpy(copy, text, sizeof text);
		sum += strlen(copy) + (uint64_t)(memcmp(copy, text, sizeof text) == 0);
		for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
			sum = sum * 31 + strlen(w) + (uint64_t)(strchr(w, 'q') != NULL) + (uint64_t)(strstr(w, "th") != NULL);
	}
	return sum;
}

/* LZ77 with a hash of three bytes, then back: the shape of a compressor's inner loops. */
static uint64_t compress(long n) {
	enum { SIZE = 1 << 16 };
	static uint8_t in[SIZE], out[SIZE * 2], back[SIZE];
	static int head[1 << 14];
	uint64_t total = 0;
	for (int i = 0; i < SIZE; i++)
		in[i] = (uint8_t)(i > 64 && next() % 8 ? in[i - 1 - (int)(next() % 4) * 16] : next() % 32);
	for (long k = 0; k < n; k++) {
		int o = 0, b = 0;
		memset(head, -1, sizeof head);
		for (int i = 0; i < SIZE;) {
			int length = 0, from = -1;
			if (i + 3 < SIZE) {
				unsigned h = ((unsigned)(in[i] | in[i + 1] << 8 | in[i + 2] << 16) * 2654435761u) >> 18;
				from = head[h], head[h] = i;
				if (from >= 0)
					while (length < 255 && i + length < SIZE && in[from + length] == in[i + length])
						length++;
			}
			if (length >= 4)
				out[o++] = 255, out[o++] = (uint8_t)length, out[o++] = (uint8_t)(i - from), out[o++] = (uint8_t)((i - from) >> 8), i += length;
			else
				out[o++] = in[i++];
		}
		for (int i = 0; i < o;)
			if (out[i] == 255) {
				for (int l = out[i + 1], d = out[i + 2] | out[i + 3] << 8; l > 0; l--, b++)
					back[b] = back[b - d];
				i += 4;
			} else
				back[b++] = out[i++];
		if (b != SIZE || memcmp(in, back, SIZE))
			abort();
		total += (uint64_t)o;
		in[k % SIZE] = (uint8_t)(in[k % SIZE] + 1) % 32;
	}
	return total;
}

static uint64_t getppid_calls(long n) {
	long sum = 0;
	for (long k = 0; k < n; k++)
		sum += syscall(SYS_getppid) > 0;
	return (uint64_t)sum;
}

enum { PAGES = 4096 };
static int cached;

static void fill_cache(void) {
	static const char page[4096] = { 1 };
	cached = memfd_create("bench", 0);
	for (long i = 0; i < PAGES; i++)
		if (write(cached, page, sizeof page) != sizeof page)
			abort();
}

/* Minor faults on shared pages that are in the page cache already (fill_cache): each page is touched for writing in a fresh mapping. */
static uint64_t faults(long n) {
	uint64_t sum = 0;
	for (long k = 0; k < n; k++) {
		volatile char *p = mmap(NULL, PAGES * 4096L, PROT_READ | PROT_WRITE, MAP_SHARED, cached, 0);
		if (p == MAP_FAILED)
			abort();
		for (long i = 0; i < PAGES; i++)
			p[i * 4096]++, sum++;
		munmap((void *)p, PAGES * 4096L);
	}
	return sum;
}

static uint64_t forks(long n) {
	uint64_t sum = 0;
	for (long k = 0; k < n; k++) {
		int status;
		pid_t child = fork();
		if (child == 0)
			_exit(7);
		waitpid(child, &status, 0);
		sum += (uint64_t)WEXITSTATUS(status);
	}
	return sum;
}

/* Two processes pass a byte over two pipes: two context switches a round. */
static uint64_t pipes(long n) {
	int there[2], back[2];
	char c = 1;
	if (pipe(there) < 0 || pipe(back) < 0)
		abort();
	pid_t child = fork();
	if (child == 0) {
		close(there[1]);
		while (read(there[0], &c, 1) == 1)
			if (write(back[1], &c, 1) != 1)
				break;
		_exit(0);
	}
	uint64_t sum = 0;
	for (long k = 0; k < n; k++) {
		if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1)
			abort();
		sum += (uint64_t)c;
	}
	close(there[1]);
	waitpid(child, NULL, 0);
	return sum;
}

static const struct {
	const char *name;
	uint64_t (*run)(long);
	long amount;     /* argument at scale 100 */
	long operations; /* per unit of the argument, for rates */
	void (*prepare)(void); /* if not NULL: before the time is taken */
} workloads[] = {
	{ "crc", crc, 1200, 65536 },     { "sort", sort, 12, 100000 },        { "sha256", sha256, 200000, 1 },
	{ "chase", chase, 6000000, 1 },  { "interpreter", interpreter, 1500000, 1 }, { "nbody", nbody, 400000, 10 },
	{ "matmul", matmul, 40, 128 * 128 * 128 }, { "matfma", matfma, 10, 128 * 128 * 128 }, { "strings", strings, 6000, 4096 }, { "compress", compress, 60, 65536 },
	{ "getppid", getppid_calls, 300000, 1 },   { "fault", faults, 100, PAGES, fill_cache }, { "fork", forks, 1000, 1 },
	{ "pipe", pipes, 10000, 1 },
};

int main(int argc, char **argv) {
	long scale = argc > 2 ? strtol(argv[2], NULL, 10) : 100;
	for (size_t i = 0; argc > 1 && i < sizeof workloads / sizeof *workloads; i++)
		if (!strcmp(argv[1], workloads[i].name)) {
			long amount = workloads[i].amount * scale / 100 > 0 ? workloads[i].amount * scale / 100 : 1;
			if (workloads[i].prepare)
				workloads[i].prepare();
			uint64_t before = nanoseconds(), sum = workloads[i].run(amount);
			printf("%s %016llx %llu %ld\n", argv[1], (unsigned long long)sum, (unsigned long long)(nanoseconds() - before), amount * workloads[i].operations);
			return 0;
		}
	fprintf(stderr, "usage: workloads NAME [SCALE]; names:");
	for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++)
		fprintf(stderr, " %s", workloads[i].name);
	fputc('\n', stderr);
	return 2;
}
