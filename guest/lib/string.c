/* string.c: the memory, string and number functions that guest/src and the compiler use. Built with
 * -fno-tree-loop-distribute-patterns, so that memset is not compiled into a call of itself. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	char *t = to;
	const char *f = from;
	for (; n >= 8 && !(((uintptr_t)t | (uintptr_t)f) & 7); n -= 8, t += 8, f += 8)
		*(uint64_t *)t = *(const uint64_t *)f;
	while (n--)
		*t++ = *f++;
	return to;
}
void *memmove(void *to, const void *from, size_t n)
{
	char *t = to;
	const char *f = from;
	if (t <= f || t >= f + n)
		return memcpy(to, from, n);
	while (n--)
		t[n] = f[n];
	return to;
}
void *memset(void *to, int byte, size_t n)
{
	char *t = to;
	while (n--)
		*t++ = (char)byte;
	return to;
}
int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;
	for (; n--; x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}
size_t strlen(const char *s)
{
	size_t n = 0;
	while (s[n])
		n++;
	return n;
}
int strncmp(const char *a, const char *b, size_t n)
{
	for (; n && *a && *a == *b; n--)
		a++, b++;
	return n ? (unsigned char)*a - (unsigned char)*b : 0;
}
int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, (size_t)-1);
}
long strtol(const char *restrict s, char **restrict end, int base)
{
	long value = 0, sign = 1;
	if (*s == '-')
		sign = -1, s++;
	if ((base == 0 || base == 16) && s[0] == '0' && s[1] == 'x')
		base = 16, s += 2;
	if (base == 0)
		base = 10;
	for (;; s++) {
		int digit = *s >= '0' && *s <= '9' ? *s - '0' : *s >= 'a' && *s <= 'f' ? *s - 'a' + 10 : 99;
		if (digit >= base)
			break;
		value = value * base + digit;
	}
	if (end)
		*end = (char *)s;
	return sign * value;
}
int atoi(const char *s)
{
	return (int)strtol(s, NULL, 10);
}
