/* Runs single instructions for tools/machine-vectors.ts. stdin: cases { u32 word, u32 fcsr, u64 x[6], u64 f[6] }; stdout: { u64 x[6],
   u64 f[6], u64 fcsr } after each. */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct in { uint32_t word, fcsr; uint64_t x[6], f[6]; };
struct out { uint64_t x[6], f[6], fcsr; };

static int all(void *p, size_t n) {
	for (size_t done = 0; done < n;) {
		ssize_t got = read(0, (char *)p + done, n - done);
		if (got <= 0)
			return 0;
		done += (size_t)got;
	}
	return 1;
}

int main(void) {
	uint32_t *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct in in;
	struct out out;
	while (all(&in, sizeof in)) {
		code[0] = in.word;
		code[1] = 0x00030067; /* jr t1 */
		__asm__ volatile("fence.i" ::: "memory");
		__asm__ volatile(
			"mv t3, %0\n mv t4, %1\n lw t0, 4(t3)\n csrw fcsr, t0\n"
			"ld a0, 8(t3)\n ld a1, 16(t3)\n ld a2, 24(t3)\n ld a3, 32(t3)\n ld a4, 40(t3)\n ld a5, 48(t3)\n"
			"fld fa0, 56(t3)\n fld fa1, 64(t3)\n fld fa2, 72(t3)\n fld fa3, 80(t3)\n fld fa4, 88(t3)\n fld fa5, 96(t3)\n"
			"jalr t1, %2\n"
			"sd a0, 0(t4)\n sd a1, 8(t4)\n sd a2, 16(t4)\n sd a3, 24(t4)\n sd a4, 32(t4)\n sd a5, 40(t4)\n"
			"fsd fa0, 48(t4)\n fsd fa1, 56(t4)\n fsd fa2, 64(t4)\n fsd fa3, 72(t4)\n fsd fa4, 80(t4)\n fsd fa5, 88(t4)\n"
			"csrr t0, fcsr\n sd t0, 96(t4)\n csrw fcsr, zero\n"
			:: "r"(&in), "r"(&out), "r"(code)
			: "t0", "t1", "t3", "t4", "a0", "a1", "a2", "a3", "a4", "a5", "fa0", "fa1", "fa2", "fa3", "fa4", "fa5", "memory");
		if (write(1, &out, sizeof out) != (ssize_t)sizeof out)
			return 1;
	}
	return 0;
}
