/* A stand-in for the driver's library, for tests: the functions that the
 * exporter calls, with values that depend only on the GPU's index.
 *
 * The file named by NVML_STUB_CONTROL is read at every call and says how to
 * misbehave, one "key value" a line:
 *   gpus N        how many GPUs there are (default 2)
 *   init CODE     nvmlInit_v2 returns CODE
 *   hang K        every question about GPU K blocks
 *   hang_init 1   nvmlInit_v2 blocks
 *   fail K CODE   every question about GPU K is answered with CODE
 *   lost_after N  GPU 0 is lost after N temperature readings
 *   nameless K    GPU K gives an empty UUID
 *   deaf K        GPU K knows no question but its temperature
 *   missing 1     the next temperature reading calls a function that no library
 *                 has: the dynamic linker ends the process with code 127
 *   crash 1       the next temperature reading ends the process by a signal
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, GPU_IS_LOST = 15 };
#define MAX_GPUS 16

extern void nvmlNotInThisDriver(void);

static int slots[MAX_GPUS];
static int asked;

static int knob(const char *key, int gpu, int absent)
{
	const char *path = getenv("NVML_STUB_CONTROL");
	FILE *f = path ? fopen(path, "r") : NULL;
	char line[128], name[64];
	int a, b, n, value = absent;

	if (!f)
		return absent;
	while (fgets(line, sizeof line, f)) {
		n = sscanf(line, "%63s %d %d", name, &a, &b);
		if (n < 2 || strcmp(name, key) != 0)
			continue;
		if (gpu < 0)
			value = a;
		else if (a == gpu)
			value = n == 3 ? b : 1;
	}
	fclose(f);
	return value;
}

static int ask(int *dev)
{
	while (knob("hang", *dev, 0))
		usleep(10000);
	return knob("fail", *dev, SUCCESS);
}

/* Questions that a deaf GPU does not know. */
static int ask_more(int *dev)
{
	int ret = ask(dev);
	return ret == SUCCESS && knob("deaf", *dev, 0) ? NOT_SUPPORTED : ret;
}

int nvmlInit_v2(void)
{
	while (knob("hang_init", -1, 0))
		usleep(10000);
	return knob("init", -1, SUCCESS);
}
int nvmlInit(void) { return nvmlInit_v2(); }
int nvmlShutdown(void) { return SUCCESS; }

int nvmlSystemGetDriverVersion(char *s, unsigned n)
{
	snprintf(s, n, "%s", "999.12.34");
	return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *n)
{
	*n = knob("gpus", -1, 2);
	return SUCCESS;
}
int nvmlDeviceGetCount(unsigned *n) { return nvmlDeviceGetCount_v2(n); }

int nvmlDeviceGetHandleByIndex_v2(unsigned i, int **dev)
{
	if (i >= MAX_GPUS)
		return INVALID_ARGUMENT;
	slots[i] = i;
	*dev = &slots[i];
	return ask(*dev);
}
int nvmlDeviceGetHandleByIndex(unsigned i, int **dev) { return nvmlDeviceGetHandleByIndex_v2(i, dev); }

int nvmlDeviceGetUUID(int *dev, char *s, unsigned n)
{
	snprintf(s, n, knob("nameless", *dev, 0) ? "" : "GPU-stub-%d", *dev);
	return ask(dev);
}

int nvmlDeviceGetName(int *dev, char *s, unsigned n)
{
	snprintf(s, n, "Stub %d", *dev);
	return ask(dev);
}

struct pci {
	char legacy[16];
	unsigned domain, bus, device, id, subsystem;
	char bus_id[32];
};

int nvmlDeviceGetPciInfo_v3(int *dev, struct pci *p)
{
	memset(p, 0, sizeof *p);
	p->bus = 0x10 + *dev;
	return ask(dev);
}
int nvmlDeviceGetPciInfo_v2(int *dev, struct pci *p) { return nvmlDeviceGetPciInfo_v3(dev, p); }
int nvmlDeviceGetPciInfo(int *dev, struct pci *p) { return nvmlDeviceGetPciInfo_v3(dev, p); }

struct utilization { unsigned gpu, memory; };
int nvmlDeviceGetUtilizationRates(int *dev, struct utilization *u)
{
	u->gpu = 93 - *dev;
	u->memory = 29;
	return ask_more(dev);
}

struct memory_v2 { unsigned version; unsigned long long total, reserved, free, used; };
int nvmlDeviceGetMemoryInfo_v2(int *dev, struct memory_v2 *m)
{
	if (m->version != (sizeof *m | 2u << 24))
		return 25; /* argument version mismatch */
	m->total = 16ull << 30;
	m->reserved = 1ull << 30;
	m->used = 10ull << 30;
	m->free = 5ull << 30;
	return ask_more(dev);
}

struct memory { unsigned long long total, free, used; };
int nvmlDeviceGetMemoryInfo(int *dev, struct memory *m)
{
	m->total = 16ull << 30;
	m->used = 11ull << 30;
	m->free = 5ull << 30;
	return ask_more(dev);
}

int nvmlDeviceGetTemperature(int *dev, int sensor, unsigned *c)
{
	int after = knob("lost_after", -1, 0);
	if (knob("crash", -1, 0))
		raise(SIGSEGV);
	if (knob("missing", -1, 0))
		nvmlNotInThisDriver();
	*c = sensor == 0 ? 61 + *dev : 250;
	if (*dev == 0 && after && __sync_add_and_fetch(&asked, 1) > after)
		return GPU_IS_LOST;
	return ask(dev);
}

int nvmlDeviceGetTemperatureThreshold(int *dev, int which, unsigned *c)
{
	*c = which == 1 ? 95 : 0;
	return ask_more(dev);
}

int nvmlDeviceGetPowerUsage(int *dev, unsigned *mw)
{
	*mw = 123456;
	return ask_more(dev);
}

int nvmlDeviceGetEnforcedPowerLimit(int *dev, unsigned *mw)
{
	*mw = 350500;
	return ask_more(dev);
}

int nvmlDeviceGetPowerManagementLimit(int *dev, unsigned *mw)
{
	*mw = 360000;
	return ask_more(dev);
}

int nvmlDeviceGetTotalEnergyConsumption(int *dev, unsigned long long *mj)
{
	*mj = 987654321;
	return ask_more(dev);
}

int nvmlDeviceGetClockInfo(int *dev, int clock, unsigned *mhz)
{
	*mhz = 1000 + clock;
	return ask_more(dev);
}
