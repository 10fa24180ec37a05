/* What is run: it exits with the byte behind its marker, so that a copy with another byte there is another program of the same size. */
static const volatile char marker[] = "rimon-exit-code=\0";

int main(void)
{
	return marker[16];
}
