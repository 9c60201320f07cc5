/* A Modbus server on libmodbus, an implementation that is not ours, for the tests beside this file.
 *
 *   server tcp                listens on a free port of 127.0.0.1, any number of clients
 *   server rtu DEVICE UNIT MS one unit on a serial line, 115200 8N1, that takes so long to answer
 *
 * Prints one line when it serves: the port, or "ready". Every register and bit tells its table and address:
 * holding 3a + 1, input 5a + 2, coil a % 3 == 0, discrete input a % 5 == 0.
 */
#include <errno.h>
#include <modbus/modbus.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <signal.h>
#include <unistd.h>

#define SIZE 1000

static modbus_mapping_t *tables(void)
{
    modbus_mapping_t *map = modbus_mapping_new(SIZE, SIZE, SIZE, SIZE);
    for (int a = 0; map && a < SIZE; a++) {
        map->tab_registers[a] = 3 * a + 1;
        map->tab_input_registers[a] = 5 * a + 2;
        map->tab_bits[a] = a % 3 == 0;
        map->tab_input_bits[a] = a % 5 == 0;
    }
    return map;
}

static void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, modbus_strerror(errno));
    exit(1);
}

static void say(int number)
{
    number ? printf("%d\n", number) : printf("ready\n");
    fflush(stdout);
}

static void serve_tcp(modbus_mapping_t *map)
{
    modbus_t *ctx = modbus_new_tcp("127.0.0.1", 0);
    int listening = ctx ? modbus_tcp_listen(ctx, 8) : -1;
    struct sockaddr_in here;
    socklen_t length = sizeof here;
    if (listening < 0 || getsockname(listening, (struct sockaddr *)&here, &length) < 0)
        fail("tcp");
    say(ntohs(here.sin_port));
    fd_set open, ready;
    FD_ZERO(&open);
    FD_SET(listening, &open);
    for (int last = listening;;) {
        ready = open;
        if (select(last + 1, &ready, NULL, NULL, NULL) < 0)
            fail("select");
        for (int fd = 0; fd <= last; fd++) {
            if (!FD_ISSET(fd, &ready))
                continue;
            if (fd == listening) {
                int client = modbus_tcp_accept(ctx, &listening);
                if (client >= 0)
                    FD_SET(client, &open);
                last = client > last ? client : last;
                continue;
            }
            uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
            modbus_set_socket(ctx, fd);
            int size = modbus_receive(ctx, query);
            if (size > 0) {
                modbus_reply(ctx, query, size, map);
            } else if (size < 0) {
                close(fd);
                FD_CLR(fd, &open);
            }
        }
    }
}

static void serve_rtu(modbus_mapping_t *map, const char *device, int unit, int ms)
{
    modbus_t *ctx = modbus_new_rtu(device, 115200, 'N', 8, 1);
    if (!ctx || modbus_set_slave(ctx, unit) < 0 || modbus_connect(ctx) < 0)
        fail(device);
    say(0);
    for (;;) {
        uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];
        int size = modbus_receive(ctx, query);
        if (size > 0) {
            usleep(1000 * ms);
            modbus_reply(ctx, query, size, map);
        } else if (size < 0) {
            modbus_flush(ctx); /* two masters spoke at once */
        }
    }
}

int main(int count, char **words)
{
    modbus_mapping_t *map = tables();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (map && count == 2 && !strcmp(words[1], "tcp"))
        serve_tcp(map);
    if (map && count == 5 && !strcmp(words[1], "rtu"))
        serve_rtu(map, words[2], atoi(words[3]), atoi(words[4]));
    fprintf(stderr, "usage: server tcp | server rtu DEVICE UNIT MS\n");
    return 2;
}
