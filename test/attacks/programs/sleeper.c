/* Sleeps, and has code that nobody calls: two pages of words that occur once each. */
#include <unistd.h>

__asm__(".pushsection .text\n"
	".globl nobody_calls\n"
	".type nobody_calls, @function\n"
	".balign 4096\n"
	"nobody_calls:\n"
	".set word, 0x52494d4f\n"
	".rept 2048\n"
	".long word\n"
	".set word, word + 1\n"
	".endr\n"
	".size nobody_calls, . - nobody_calls\n"
	".popsection\n");

int main(void)
{
	write(1, "asleep\n", 7);
	for (;;)
		pause();
}
