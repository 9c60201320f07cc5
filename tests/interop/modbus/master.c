/* A Modbus master on libmodbus, an implementation that is not ours, for a line that others overhear.
 *
 *   master DEVICE SECONDS TIMEOUT_MS     115200 8N1
 *
 * Asks units 1 to 3 in turn for two holding registers from 0, then from 100, without a pause, until the time is over.
 * Prints one line at the end: questions asked, and questions answered.
 */
#include <errno.h>
#include <modbus/modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    modbus_t *ctx = argc == 4 ? modbus_new_rtu(argv[1], 115200, 'N', 8, 1) : NULL;
    if (!ctx || modbus_connect(ctx) < 0) {
        fprintf(stderr, "%s: %s\n", argc > 1 ? argv[1] : "master DEVICE SECONDS TIMEOUT_MS", modbus_strerror(errno));
        return 1;
    }
    int timeout_ms = atoi(argv[3]);
    modbus_set_response_timeout(ctx, timeout_ms / 1000, timeout_ms % 1000 * 1000);
    long asked = 0, answered = 0;
    for (double end = now() + atof(argv[2]); now() < end;) {
        uint16_t registers[2];
        modbus_set_slave(ctx, 1 + asked / 2 % 3);
        if (modbus_read_registers(ctx, asked % 2 ? 100 : 0, 2, registers) == 2)
            answered++;
        else
            modbus_flush(ctx);
        asked++;
    }
    printf("%ld %ld\n", asked, answered);
    modbus_close(ctx);
    modbus_free(ctx);
    return 0;
}
