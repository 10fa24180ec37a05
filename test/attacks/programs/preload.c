/* A library to be preloaded. That its constructor does nothing does not make it welcome. */
__attribute__((constructor)) static void loaded(void)
{
}
