/* A stand-in for libnvidia-ml.so.1, for tests on machines without a GPU. It is not NVIDIA's library: it answers the
 * calls that nvidia-ml-py makes from a scenario file, named by FAKENVML_SCENARIO and read again whenever it changes,
 * so that a test can steer a running process. Write the file anew by a temporary name and rename.
 *
 * The scenario, one setting a line, '#' starts a comment; N is a device's NVML index or '*' for all:
 *
 *   driver VERSION
 *   devices COUNT
 *   clock_ms MS                    hold time still at MS since 1970 (default: the wall clock)
 *   device N uuid|name|serial|pci TEXT
 *   device N minor|temperature|power_mw|memory_total_mib|memory_reserved_mib|memory_used_mib NUMBER
 *   device N energy BASE_MJ MW SINCE_MS   the counter is BASE_MJ at SINCE_MS and grows by MW each second
 *   device N energy_reset_ms MS    at MS the counter starts again from zero, and goes on growing
 *   device N util FROM_MS GPU MEMORY      percent from FROM_MS on; several lines make a schedule in order of time
 *   device N samples DEPTH PERIOD_MS      the sample buffer; at the multiples of PERIOD_MS; DEPTH 0: it is dry
 *   device N mig 0|1
 *   device N mig_instance UUID GI CI SLICES OF MIB USED_MIB   an instance of 1c per slice; the driver holds OF at most
 *   device N process PID MIB [GI CI]
 *   device N lacks SETTING         the calls that tell SETTING (serial, minor, energy, power, util, samples, memory,
 *                                  memory_v2, mig, temperature, process) answer NOT_SUPPORTED
 *   error FUNCTION N CODE          FUNCTION ('*': all with a device) answers with CODE, e.g. GPU_IS_LOST
 *   hang FUNCTION N SECONDS|forever       ... does not return for so long, or until the line is gone
 *
 * Functions without a device take N = '*'. A line that is not understood ends the process, with its number.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef int nvml_return;
enum { OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
       DRIVER_NOT_LOADED = 9, VERSION_MISMATCH = 25 };

static const struct { const char *name; int code; } codes[] = {
    {"SUCCESS", 0}, {"UNINITIALIZED", 1}, {"INVALID_ARGUMENT", 2}, {"NOT_SUPPORTED", 3}, {"NO_PERMISSION", 4},
    {"NOT_FOUND", 6}, {"INSUFFICIENT_SIZE", 7}, {"DRIVER_NOT_LOADED", 9}, {"TIMEOUT", 10}, {"FUNCTION_NOT_FOUND", 13},
    {"GPU_IS_LOST", 15}, {"RESET_REQUIRED", 16}, {"LIB_RM_VERSION_MISMATCH", 18}, {"IN_USE", 19}, {"NO_DATA", 21},
    {"ARGUMENT_VERSION_MISMATCH", 25}, {"UNKNOWN", 999}};

/* The driver's structures, as nvidia-ml-py lays them out. */
typedef struct { char bus_id_legacy[16]; unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
                 char bus_id[32]; } pci_info;
typedef struct { unsigned long long total, free, used; } memory_info;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_info_v2;
typedef struct { unsigned gpu, memory; } utilization;
typedef union { double d; unsigned ui; unsigned long ul; unsigned long long ull; } sample_value;
typedef struct { unsigned long long at_us; sample_value value; } sample;
typedef struct { unsigned version, sensor; int temperature; } temperature_info;
typedef struct { unsigned pid; unsigned long long memory; unsigned gpu_instance, compute_instance; } process_info;

typedef struct { unsigned multiprocessors, copy, decoders, encoders, jpeg, ofa, gpu_slices, compute_slices;
                 unsigned long long memory_mib; } attributes;
typedef struct { char uuid[96]; unsigned gpu_instance, compute_instance, slices, of;
                 unsigned long long memory_mib, used_mib; } mig_instance;

#define MAX_DEVICES 16
#define MAX_INSTANCES 8
#define MAX_STEPS 64
#define MAX_FAULTS 64
#define MAX_PROCESSES 16
#define ALL (-1)
#define MEMORY_V2 0x02000028u
#define VALUE_UNSIGNED_INT 1
#define GPU_SAMPLES 1
#define MEMORY_SAMPLES 2

struct device {
    char uuid[96], name[96], serial[30], pci[32], lacks[256];
    long long minor, temperature, power_mw, memory_total_mib, memory_reserved_mib, memory_used_mib;
    long long energy_base, energy_mw, energy_since_ms, energy_reset_ms, depth, period_ms, mig;
    struct { long long from_ms, gpu, memory; } step[MAX_STEPS];
    int steps;
    process_info process[MAX_PROCESSES];
    int processes;
    mig_instance instance[MAX_INSTANCES];
    int instances;
};
struct fault { char function[64]; int device; int code; double hang_s; int hangs; };
struct scenario {
    char driver[80];
    int devices;
    long long clock_ms;
    struct device device[MAX_DEVICES];
    struct fault fault[MAX_FAULTS];
    int faults;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct scenario now;
static struct timespec read_of;
static off_t read_size;
static ino_t read_inode;
static int loaded, users, held;

static void broken(int line, const char *text)
{
    fprintf(stderr, "fakenvml: line %d of the scenario is not understood: %s\n", line, text);
    abort();
}

static long long wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static void device_line(struct device *d, const char *key, const char *rest, int line, const char *text)
{
    const struct { const char *key; char *to; size_t size; } words[] = {
        {"uuid", d->uuid, sizeof d->uuid}, {"name", d->name, sizeof d->name},
        {"serial", d->serial, sizeof d->serial}, {"pci", d->pci, sizeof d->pci}};
    const struct { const char *key; long long *to; } numbers[] = {
        {"minor", &d->minor}, {"temperature", &d->temperature}, {"power_mw", &d->power_mw}, {"mig", &d->mig},
        {"memory_total_mib", &d->memory_total_mib}, {"memory_reserved_mib", &d->memory_reserved_mib},
        {"memory_used_mib", &d->memory_used_mib}, {"energy_reset_ms", &d->energy_reset_ms}};
    long long a, b, c;
    mig_instance m;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(key, words[i].key)) {
            snprintf(words[i].to, words[i].size, "%s", rest);
            return;
        }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!strcmp(key, numbers[i].key)) {
            if (sscanf(rest, "%lld", numbers[i].to) != 1)
                broken(line, text);
            return;
        }
    if (!strcmp(key, "energy") && sscanf(rest, "%lld %lld %lld", &a, &b, &c) == 3) {
        d->energy_base = a, d->energy_mw = b, d->energy_since_ms = c;
    } else if (!strcmp(key, "util") && sscanf(rest, "%lld %lld %lld", &a, &b, &c) == 3 && d->steps < MAX_STEPS) {
        d->step[d->steps].from_ms = a, d->step[d->steps].gpu = b, d->step[d->steps].memory = c;
        d->steps++;
    } else if (!strcmp(key, "samples") && sscanf(rest, "%lld %lld", &a, &b) == 2 && b > 0) {
        d->depth = a, d->period_ms = b;
    } else if (!strcmp(key, "process") && sscanf(rest, "%lld %lld", &a, &b) == 2 && d->processes < MAX_PROCESSES) {
        process_info p = {(unsigned)a, (unsigned long long)b << 20, 0xffffffffu, 0xffffffffu};
        sscanf(rest, "%*d %*d %u %u", &p.gpu_instance, &p.compute_instance);
        d->process[d->processes++] = p;
    } else if (!strcmp(key, "mig_instance") && d->instances < MAX_INSTANCES &&
               sscanf(rest, "%95s %u %u %u %u %llu %llu", m.uuid, &m.gpu_instance, &m.compute_instance, &m.slices,
                      &m.of, &m.memory_mib, &m.used_mib) == 7) {
        d->instance[d->instances++] = m;
    } else if (!strcmp(key, "lacks") && strlen(d->lacks) + strlen(rest) + 3 < sizeof d->lacks) {
        strcat(strcat(strcat(d->lacks, " "), rest), " ");
    } else {
        broken(line, text);
    }
}

static int device_number(const char *text, int line, const char *whole)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (!strcmp(text, "*"))
        return ALL;
    if (*end || n < 0 || n >= MAX_DEVICES)
        broken(line, whole);
    return (int)n;
}

static void parse_line(struct scenario *s, char *text, int line)
{
    char word[64], number[16], rest[160] = "", key[64];
    int used = 0;
    text[strcspn(text, "#\n")] = 0;
    for (size_t n = strlen(text); n && text[n - 1] == ' '; n--)
        text[n - 1] = 0;
    if (sscanf(text, "%63s", word) != 1)
        return;
    if (!strcmp(word, "driver") && sscanf(text, "driver %79s", s->driver) == 1)
        return;
    if (!strcmp(word, "devices") && sscanf(text, "devices %d", &s->devices) == 1 && s->devices <= MAX_DEVICES)
        return;
    if (!strcmp(word, "clock_ms") && sscanf(text, "clock_ms %lld", &s->clock_ms) == 1)
        return;
    if (!strcmp(word, "device") && sscanf(text, "device %15s %63s %n", number, key, &used) == 2 && used) {
        int n = device_number(number, line, text);
        snprintf(rest, sizeof rest, "%s", text + used);
        for (int i = 0; i < MAX_DEVICES; i++)
            if (n == ALL || n == i)
                device_line(&s->device[i], key, rest, line, text);
        return;
    }
    if (s->faults < MAX_FAULTS) {
        struct fault *f = &s->fault[s->faults];
        if (!strcmp(word, "error") && sscanf(text, "error %63s %15s %63s", f->function, number, key) == 3) {
            f->device = device_number(number, line, text);
            for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
                if (!strcmp(key, codes[i].name)) {
                    f->code = codes[i].code;
                    s->faults++;
                    return;
                }
        } else if (!strcmp(word, "hang") && sscanf(text, "hang %63s %15s %63s", f->function, number, key) == 3) {
            char *end;
            f->device = device_number(number, line, text);
            f->hangs = 1;
            f->hang_s = strcmp(key, "forever") ? strtod(key, &end) : -1;
            if (!strcmp(key, "forever") || !*end) {
                s->faults++;
                return;
            }
        }
    }
    broken(line, text);
}

/* Reads the scenario when it is new or changed. Call with the lock held; 0: there is none. */
static int refresh(void)
{
    const char *path = getenv("FAKENVML_SCENARIO");
    struct stat st;
    char text[512];
    struct scenario fresh;
    FILE *file;
    if (!path || stat(path, &st) != 0 || !(file = fopen(path, "r")))
        return loaded;
    if (loaded && st.st_mtim.tv_sec == read_of.tv_sec && st.st_mtim.tv_nsec == read_of.tv_nsec &&
        st.st_size == read_size && st.st_ino == read_inode) {
        fclose(file);
        return 1;
    }
    memset(&fresh, 0, sizeof fresh);
    snprintf(fresh.driver, sizeof fresh.driver, "550.90.07");
    for (int i = 0; i < MAX_DEVICES; i++) {
        struct device *d = &fresh.device[i];
        snprintf(d->uuid, sizeof d->uuid, "GPU-00000000-0000-0000-0000-%012d", i);
        snprintf(d->name, sizeof d->name, "Fake GPU 80GB");
        snprintf(d->serial, sizeof d->serial, "16%08d", i);
        snprintf(d->pci, sizeof d->pci, "00000000:%02X:00.0", i + 1);
        d->minor = i, d->temperature = 40, d->power_mw = 60000;
        d->memory_total_mib = 81920, d->memory_reserved_mib = 512;
        d->depth = 120, d->period_ms = 100;
    }
    for (int line = 1; fgets(text, sizeof text, file); line++)
        parse_line(&fresh, text, line);
    fclose(file);
    now = fresh;
    read_of = st.st_mtim, read_size = st.st_size, read_inode = st.st_ino;
    return loaded = 1;
}

static const struct fault *fault_of(const char *function, int device, int hangs)
{
    for (int i = 0; i < now.faults; i++) {
        const struct fault *f = &now.fault[i];
        int everywhere = !strcmp(f->function, "*") && device != ALL;
        if (f->hangs == hangs && (everywhere || !strcmp(f->function, function)) &&
            (f->device == ALL || f->device == device))
            return f;
    }
    return NULL;
}

/* Begins every call: hangs or fails as the scenario wants. On OK the lock is held and 'end' must follow. */
static nvml_return begin(const char *function, int device)
{
    const struct timespec pause = {0, 20000000};
    long long since = wall_ms();
    const struct fault *f;
    pthread_mutex_lock(&lock);
    while (refresh() && (f = fault_of(function, device, 1)) &&
           (f->hang_s < 0 || wall_ms() - since < f->hang_s * 1000)) {
        pthread_mutex_unlock(&lock);
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&lock);
    }
    nvml_return answer = OK;
    if (!loaded)
        answer = DRIVER_NOT_LOADED;
    else if (!users && strcmp(function, "nvmlInitWithFlags"))
        answer = UNINITIALIZED;
    else if ((f = fault_of(function, device, 0)))
        answer = f->code;
    else if (device != ALL && (device < 0 || device >= now.devices))
        answer = INVALID_ARGUMENT;
    if (answer != OK)
        pthread_mutex_unlock(&lock);
    return answer;
}

static nvml_return end(nvml_return answer)
{
    pthread_mutex_unlock(&lock);
    return answer;
}

static long long time_ms(void) { return now.clock_ms ? now.clock_ms : wall_ms(); }
/* A handle is 1 + the device's index; that of its instance K is 100 * (K + 1) more. */
static int number_of(const void *handle) { return (int)(intptr_t)handle % 100 - 1; }

static const mig_instance *instance_of(const void *handle)
{
    int k = (int)(intptr_t)handle / 100 - 1;
    const struct device *d = &now.device[number_of(handle)];
    return k >= 0 && d->mig && k < d->instances ? &d->instance[k] : NULL;
}

static int of_instance(const void *handle) { return (intptr_t)handle >= 100; }

static int lacks(const struct device *d, const char *what)
{
    char word[40];
    snprintf(word, sizeof word, " %s ", what);
    return strstr(d->lacks, word) != NULL;
}

static unsigned percent_at(const struct device *d, int memory, long long at_ms)
{
    long long percent = 0;
    for (int i = 0; i < d->steps && d->step[i].from_ms <= at_ms; i++)
        percent = memory ? d->step[i].memory : d->step[i].gpu;
    return (unsigned)percent;
}

#define DEVICE_CALL(handle, what)                                  \
    int n = number_of(handle);                                     \
    nvml_return begun = begin(__func__, n);                        \
    if (begun != OK)                                               \
        return begun;                                              \
    struct device *d = &now.device[n];                             \
    if (lacks(d, what))                                            \
        return end(NOT_SUPPORTED)

/* Before what a MIG instance does not tell. */
#define WHOLE_GPU(handle)                                          \
    if (of_instance(handle))                                       \
        return end(NOT_SUPPORTED)

/* Before what it does; an instance that was destroyed has no valid handle. */
#define MIG_INSTANCE(handle)                                       \
    const mig_instance *m = instance_of(handle);                   \
    if (of_instance(handle) && !m)                                 \
        return end(INVALID_ARGUMENT)

static nvml_return give_text(const char *text, char *to, unsigned size)
{
    if (strlen(text) >= size)
        return end(INSUFFICIENT_SIZE);
    strcpy(to, text);
    return end(OK);
}

nvml_return nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    nvml_return begun = begin(__func__, ALL);
    if (begun != OK)
        return begun;
    if (users++ == 0) /* like the real one's device files: whoever looks into /proc/PID/fd sees it held */
        held = open(getenv("FAKENVML_SCENARIO"), O_RDONLY | O_CLOEXEC);
    return end(OK);
}

nvml_return nvmlShutdown(void)
{
    nvml_return begun = begin(__func__, ALL);
    if (begun != OK)
        return begun;
    if (--users == 0)
        close(held);
    return end(OK);
}

const char *nvmlErrorString(nvml_return code)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].code == code)
            return codes[i].name;
    return "Unknown Error";
}

nvml_return nvmlSystemGetDriverVersion(char *to, unsigned size)
{
    nvml_return begun = begin(__func__, ALL);
    return begun != OK ? begun : give_text(now.driver, to, size);
}

nvml_return nvmlDeviceGetCount_v2(unsigned *count)
{
    nvml_return begun = begin(__func__, ALL);
    if (begun != OK)
        return begun;
    *count = (unsigned)now.devices;
    return end(OK);
}

nvml_return nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle)
{
    nvml_return begun = begin(__func__, (int)index);
    if (begun != OK)
        return begun;
    *handle = (void *)(intptr_t)(index + 1);
    return end(OK);
}

nvml_return nvmlDeviceGetHandleByUUID(const char *uuid, void **handle)
{
    int found = ALL, instance = 0;
    nvml_return begun = begin(__func__, ALL);
    if (begun != OK)
        return begun;
    for (int i = 0; i < now.devices; i++) {
        if (!strcmp(now.device[i].uuid, uuid))
            found = i;
        for (int k = 0; now.device[i].mig && k < now.device[i].instances; k++)
            if (!strcmp(now.device[i].instance[k].uuid, uuid))
                found = i, instance = 100 * (k + 1);
    }
    end(OK);
    if (found == ALL)
        return NOT_FOUND;
    if ((begun = begin(__func__, found)) != OK)
        return begun;
    *handle = (void *)(intptr_t)(found + 1 + instance);
    return end(OK);
}

nvml_return nvmlDeviceGetUUID(void *handle, char *to, unsigned size)
{
    DEVICE_CALL(handle, "uuid");
    MIG_INSTANCE(handle);
    return give_text(m ? m->uuid : d->uuid, to, size);
}

nvml_return nvmlDeviceGetName(void *handle, char *to, unsigned size)
{
    DEVICE_CALL(handle, "name");
    MIG_INSTANCE(handle);
    char name[160];
    if (!m)
        return give_text(d->name, to, size);
    snprintf(name, sizeof name, "%s MIG %ug.%llugb", d->name, m->slices, (m->memory_mib + 512) / 1024);
    return give_text(name, to, size);
}

nvml_return nvmlDeviceGetSerial(void *handle, char *to, unsigned size)
{
    DEVICE_CALL(handle, "serial");
    return give_text(d->serial, to, size);
}

nvml_return nvmlDeviceGetMinorNumber(void *handle, unsigned *minor)
{
    DEVICE_CALL(handle, "minor");
    *minor = (unsigned)d->minor;
    return end(OK);
}

nvml_return nvmlDeviceGetPciInfo_v3(void *handle, pci_info *to)
{
    DEVICE_CALL(handle, "pci");
    memset(to, 0, sizeof *to);
    sscanf(d->pci, "%x:%x:%x", &to->domain, &to->bus, &to->device);
    snprintf(to->bus_id, sizeof to->bus_id, "%s", d->pci);
    snprintf(to->bus_id_legacy, sizeof to->bus_id_legacy, "%04x:%02x:%02x.0", to->domain & 0xffff, to->bus & 0xff,
             to->device & 0xff);
    return end(OK);
}

nvml_return nvmlDeviceGetMemoryInfo(void *handle, memory_info *to)
{
    DEVICE_CALL(handle, "memory");
    MIG_INSTANCE(handle);
    to->total = (m ? m->memory_mib : (unsigned long long)d->memory_total_mib) << 20;
    to->used = (m ? m->used_mib : (unsigned long long)(d->memory_used_mib + d->memory_reserved_mib)) << 20;
    to->free = to->total - to->used;
    return end(OK);
}

nvml_return nvmlDeviceGetMemoryInfo_v2(void *handle, memory_info_v2 *to)
{
    DEVICE_CALL(handle, "memory");
    if (to->version != MEMORY_V2 || lacks(d, "memory_v2"))
        return end(VERSION_MISMATCH);
    MIG_INSTANCE(handle);
    to->total = (m ? m->memory_mib : (unsigned long long)d->memory_total_mib) << 20;
    to->reserved = m ? 0 : (unsigned long long)d->memory_reserved_mib << 20;
    to->used = (m ? m->used_mib : (unsigned long long)d->memory_used_mib) << 20;
    to->free = to->total - to->used - to->reserved;
    return end(OK);
}

nvml_return nvmlDeviceGetUtilizationRates(void *handle, utilization *to)
{
    DEVICE_CALL(handle, "util");
    WHOLE_GPU(handle);
    if (d->mig)
        return end(NOT_SUPPORTED);
    to->gpu = percent_at(d, 0, time_ms());
    to->memory = percent_at(d, 1, time_ms());
    return end(OK);
}

nvml_return nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *to)
{
    DEVICE_CALL(handle, "energy");
    WHOLE_GPU(handle);
    long long at = time_ms(), since = d->energy_since_ms, base = d->energy_base;
    if (d->energy_reset_ms && at >= d->energy_reset_ms)
        since = d->energy_reset_ms, base = 0;
    *to = (unsigned long long)(base + d->energy_mw * (at - since) / 1000);
    return end(OK);
}

nvml_return nvmlDeviceGetPowerUsage(void *handle, unsigned *to)
{
    DEVICE_CALL(handle, "power");
    *to = (unsigned)d->power_mw;
    return end(OK);
}

nvml_return nvmlDeviceGetTemperature(void *handle, unsigned sensor, unsigned *to)
{
    DEVICE_CALL(handle, "temperature");
    (void)sensor;
    *to = (unsigned)d->temperature;
    return end(OK);
}

nvml_return nvmlDeviceGetTemperatureV(void *handle, temperature_info *to)
{
    DEVICE_CALL(handle, "temperature");
    to->temperature = (int)d->temperature;
    return end(OK);
}

nvml_return nvmlDeviceGetMigMode(void *handle, unsigned *current, unsigned *pending)
{
    DEVICE_CALL(handle, "mig");
    *current = *pending = (unsigned)d->mig;
    return end(OK);
}

nvml_return nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *count)
{
    DEVICE_CALL(handle, "mig");
    *count = d->mig && d->instances ? d->instance[0].of : d->mig ? 7 : 0;
    return end(OK);
}

nvml_return nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned index, void **to)
{
    DEVICE_CALL(handle, "mig");
    if (!d->mig || index >= (unsigned)d->instances)
        return end(NOT_FOUND);
    *to = (void *)((intptr_t)handle + 100 * ((intptr_t)index + 1));
    return end(OK);
}

nvml_return nvmlDeviceGetGpuInstanceId(void *handle, unsigned *id)
{
    DEVICE_CALL(handle, "mig");
    MIG_INSTANCE(handle);
    *id = m ? m->gpu_instance : 0;
    return end(m ? OK : NOT_SUPPORTED);
}

nvml_return nvmlDeviceGetComputeInstanceId(void *handle, unsigned *id)
{
    DEVICE_CALL(handle, "mig");
    MIG_INSTANCE(handle);
    *id = m ? m->compute_instance : 0;
    return end(m ? OK : NOT_SUPPORTED);
}

nvml_return nvmlDeviceGetAttributes_v2(void *handle, attributes *to)
{
    DEVICE_CALL(handle, "mig");
    MIG_INSTANCE(handle);
    if (!m)
        return end(NOT_SUPPORTED);
    memset(to, 0, sizeof *to);
    to->gpu_slices = to->compute_slices = m->slices;
    to->memory_mib = m->memory_mib;
    return end(OK);
}

/* With no buffer it tells how much room to bring, as the driver does; NOT_FOUND when nothing is newer than seen. */
nvml_return nvmlDeviceGetSamples(void *handle, int kind, unsigned long long seen_us, int *value_type, unsigned *count,
                                 sample *to)
{
    DEVICE_CALL(handle, "samples");
    WHOLE_GPU(handle);
    if (d->mig)
        return end(NOT_SUPPORTED);
    if (kind != GPU_SAMPLES && kind != MEMORY_SAMPLES)
        return end(NOT_SUPPORTED);
    long long newest = time_ms() / d->period_ms, oldest = newest - d->depth + 1;
    long long next = (long long)(seen_us / 1000) / d->period_ms + 1;
    if (next < oldest)
        next = oldest;
    if (next > newest)
        return end(NOT_FOUND);
    *value_type = VALUE_UNSIGNED_INT;
    if (!to) {
        *count = (unsigned)d->depth;
        return end(OK);
    }
    unsigned room = *count;
    for (*count = 0; next <= newest && *count < room; next++, (*count)++) {
        to[*count].at_us = (unsigned long long)(next * d->period_ms) * 1000;
        to[*count].value.ull = percent_at(d, kind == MEMORY_SAMPLES, next * d->period_ms);
    }
    return end(OK);
}

nvml_return nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, process_info *to)
{
    DEVICE_CALL(handle, "process");
    unsigned room = *count;
    *count = (unsigned)d->processes;
    if (!d->processes)
        return end(OK);
    if (!to || room < *count)
        return end(INSUFFICIENT_SIZE);
    memcpy(to, d->process, sizeof *to * *count);
    return end(OK);
}
