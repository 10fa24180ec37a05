/* A library that a running process is made to load. */
int evil(void);

int evil(void)
{
	return 42;
}
