/* Go programs take their randomness from ProcessPrng of this library, which Wine has since version 9. Debian's Wine 8 gets
   it from RtlGenRandom, which is called SystemFunction036 for historical reasons. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T length)
{
	return SystemFunction036(data, (ULONG)length);
}
