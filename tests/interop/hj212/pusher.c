/* HJ 212-2017 packets as a data logger sends them, written from the rules alone (annex A, chapter 6, table 9):
 * a peer that shares no code with the gateway or the simulator, for the tests beside this file.
 *
 *   pusher push --port N [--OPTION VALUE ...]   connects and uploads; prints one JSON object for each packet
 *   pusher check                                reads packets from standard input, one a line; prints what they are
 *   pusher serve [--answers N]                  listens on a free port (its first line), checks what comes, and
 *                                               answers it; after N answers it goes silent
 *
 * Options of push: --host --port --cn --mn --pw --st --flag (number, or "none") --qn ("none", or 17 digits) --cp
 * ({t}: local time, {n}: the packet's number) --parts (PNUM) --time-in (first, each) --count --interval-ms
 * --timeout-ms --resends --linger-ms --crc (upper, lower, damaged) --length-off --ends (crlf, none) --cut (bytes before
 * a pause) --zone-min. The exit code is 0 if every packet got what its Flag wants.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "packet.h"

static void fail(const char *what)
{
    fprintf(stderr, "pusher: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(2);
}

static long long now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

/* ---- a socket and what came on it ------------------------------------------------------------------------------- */

struct wire {
    int fd;
    size_t held;
    char data[LINE];
};

/* The next line that ends with CR LF; 1 when there is one, 0 after the time, -1 when the other side has gone. */
static int next_line(struct wire *w, long long until_us, char *line, size_t *size)
{
    for (;;) {
        char *end = memmem(w->data, w->held, "\r\n", 2);
        if (end) {
            *size = (size_t)(end - w->data);
            memcpy(line, w->data, *size);
            w->held -= *size + 2;
            memmove(w->data, end + 2, w->held);
            return 1;
        }
        if (w->held == sizeof w->data)
            w->held = 0;
        long long left = until_us - now_us();
        struct pollfd ready = {.fd = w->fd, .events = POLLIN};
        if (left < 0 || poll(&ready, 1, (int)(left / 1000 + 1)) == 0)
            return 0;
        ssize_t got = recv(w->fd, w->data + w->held, sizeof w->data - w->held, 0);
        if (got <= 0)
            return -1;
        w->held += (size_t)got;
    }
}

static int send_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return 0;
        data += sent;
        size -= (size_t)sent;
    }
    return 1;
}

/* ---- push ------------------------------------------------------------------------------------------------------- */

static const char *host = "127.0.0.1", *port = NULL, *cn = "2011", *mn = "010000A8900016F000169DC0", *pw = "123456",
                  *st = "31", *flag = "5", *qn = "now", *cp = "DataTime={t};a21026-Rtd=1.0,a21026-Flag=N",
                  *parts = "1", *time_in = "each", *count = "1", *interval_ms = "0", *timeout_ms = "10000",
                  *resends = "3", *linger_ms = "0", *crc = "upper", *length_off = "0", *ends = "crlf", *cut = "0",
                  *zone_min = "480", *answers = "-1";

static const struct option {
    const char *name;
    const char **value;
} OPTIONS[] = {
    {"host", &host}, {"port", &port}, {"cn", &cn}, {"mn", &mn}, {"pw", &pw}, {"st", &st}, {"flag", &flag}, {"qn", &qn},
    {"cp", &cp}, {"parts", &parts}, {"time-in", &time_in}, {"count", &count}, {"interval-ms", &interval_ms},
    {"timeout-ms", &timeout_ms}, {"resends", &resends}, {"linger-ms", &linger_ms}, {"crc", &crc},
    {"length-off", &length_off}, {"ends", &ends}, {"cut", &cut}, {"zone-min", &zone_min}, {"answers", &answers},
};

static void read_options(int argc, char **argv)
{
    for (int i = 2; i < argc; i += 2) {
        size_t k = 0, known = sizeof OPTIONS / sizeof *OPTIONS;
        while (k < known && (strncmp(argv[i], "--", 2) || strcmp(argv[i] + 2, OPTIONS[k].name)))
            k++;
        errno = 0;
        if (k == known || i + 1 == argc)
            fail(argv[i]);
        *OPTIONS[k].value = argv[i + 1];
    }
}

/* Local time to the millisecond; no two are alike. */
static void moment(char *out, size_t room)
{
    static long long last;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    long long ms = t.tv_sec * 1000LL + t.tv_nsec / 1000000;
    last = ms > last ? ms : last + 1;
    time_t local = (time_t)(last / 1000 + 60 * atol(zone_min));
    struct tm at;
    gmtime_r(&local, &at);
    char seconds[32];
    strftime(seconds, sizeof seconds, "%Y%m%d%H%M%S", &at);
    snprintf(out, room, "%.14s%03d", seconds, (int)(last % 1000));
}

static void replaced(const char *text, const char *mark, const char *by, char *out, size_t room)
{
    *out = 0;
    for (const char *at; (at = strstr(text, mark)); text = at + strlen(mark)) {
        size_t used = strlen(out);
        snprintf(out + used, room - used, "%.*s%s", (int)(at - text), text, by);
    }
    size_t used = strlen(out);
    snprintf(out + used, room - used, "%s", text);
}

/* Items [from, to) of a CP, which ; sets apart. */
static void items(const char *all, int from, int to, char *out, size_t room)
{
    int at = 0;
    *out = 0;
    for (const char *item = all; item && *item; at++) {
        size_t size = strcspn(item, ";"), used = strlen(out);
        if (at >= from && at < to)
            snprintf(out + used, room - used, "%s%.*s", used ? ";" : "", (int)size, item);
        item = item[size] ? item + size + 1 : NULL;
    }
}

static size_t frame_of(const char *qn_text, const char *cp_text, int pnum, int pno, char *out)
{
    char segment[LINE];
    int n = 0;
    if (strcmp(qn_text, "none"))
        n += snprintf(segment + n, sizeof segment - (size_t)n, "QN=%s;", qn_text);
    n += snprintf(segment + n, sizeof segment - (size_t)n, "ST=%s;CN=%s;PW=%s;MN=%s;", st, cn, pw, mn);
    if (strcmp(flag, "none"))
        n += snprintf(segment + n, sizeof segment - (size_t)n, "Flag=%d;", atoi(flag) | (pnum > 1 ? 2 : 0));
    if (pnum > 1)
        n += snprintf(segment + n, sizeof segment - (size_t)n, "PNUM=%d;PNO=%d;", pnum, pno);
    n += snprintf(segment + n, sizeof segment - (size_t)n, "CP=&&%s&&", cp_text);
    errno = 0;
    if (n > SEGMENT)
        fail("the data segment has more than 1024 bytes; give --parts");
    unsigned check = crc16(segment, (size_t)n) ^ (strcmp(crc, "damaged") ? 0 : 1);
    const char *form = strcmp(crc, "lower") ? "##%04d%s%04X%s" : "##%04d%s%04x%s";
    return (size_t)sprintf(out, form, n + atoi(length_off), segment, check, strcmp(ends, "none") ? "\r\n" : "");
}

static int dial(void)
{
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port ? port : "0"))};
    int fd = socket(AF_INET, SOCK_STREAM, 0), at_once = 1;
    if (fd < 0 || inet_pton(AF_INET, host, &there.sin_addr) != 1 || connect(fd, (void *)&there, sizeof there))
        fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
    return fd;
}

static int is_answer(const struct packet *p, const char *qn_text)
{
    char got_qn[64], got_cn[64];
    int is_notice = !strcmp(cn, "1013") || !strcmp(cn, "9015");
    field(p, "QN", got_qn, sizeof got_qn);
    field(p, "CN", got_cn, sizeof got_cn);
    return p->length_ok && p->crc_ok && !strcmp(got_qn, strcmp(qn_text, "none") ? qn_text : "") &&
           !strcmp(got_cn, is_notice ? "9013" : "9014");
}

/* Prints each line that came and was not waited for. */
static void print_stray(const char *line, size_t size)
{
    struct packet p;
    printf("{\"stray\": true, ");
    if (dissect(line, size, &p)) {
        packet_json(&p);
        printf(", ");
    }
    text_json("raw", line, size);
    printf("}\n");
}

/* One packet until it is answered; 1 when it got what its Flag wants. */
static int push_one(struct wire *w, const char *qn_text, const char *frame, size_t size, int number, int pnum, int pno)
{
    int wanted = strcmp(flag, "none") ? atoi(flag) & 1 : 0, tries = 0, found = 0;
    char line[LINE];
    size_t got = 0;
    struct packet p;
    long long begun = now_us();
    for (; !found && tries <= (wanted ? atoi(resends) : 0); tries++) {
        size_t first = (size_t)atoi(cut) < size ? (size_t)atoi(cut) : 0;
        begun = now_us();
        if (first) {
            send_all(w->fd, frame, first);
            usleep(50000);
        }
        if (!send_all(w->fd, frame + first, size - first))
            break;
        long long until = begun + 1000LL * (wanted ? atol(timeout_ms) : atol(linger_ms));
        int came;
        while ((came = next_line(w, until, line, &got)) == 1) {
            if (dissect(line, got, &p) && is_answer(&p, qn_text)) {
                found = 1;
                break;
            }
            print_stray(line, got);
        }
        if (came < 0)
            break;
    }
    printf("{\"n\": %d, \"pnum\": %d, \"pno\": %d, \"qn\": \"%s\", \"tries\": %d, \"answered\": %s, \"ms\": %.3f", number,
           pnum, pno, qn_text, tries, found ? "true" : "false", (double)(now_us() - begun) / 1000);
    if (found) {
        printf(", \"answer\": {");
        packet_json(&p);
        printf("}");
    }
    printf("}\n");
    fflush(stdout);
    return found == wanted;
}

static int push(void)
{
    struct wire w = {.fd = dial()};
    char cp_now[LINE], cp_numbered[LINE], body[LINE], head[LINE], number_text[16], qn_text[32], frame[LINE];
    int pnum = atoi(parts), good = 1;
    for (int number = 1; number <= atoi(count); number++) {
        long long due = now_us() + 1000LL * atol(interval_ms);
        moment(qn_text, sizeof qn_text);
        char label[16];
        snprintf(label, sizeof label, "%.14s", qn_text);
        snprintf(number_text, sizeof number_text, "%d", number);
        replaced(cp, "{t}", label, cp_now, sizeof cp_now);
        replaced(cp_now, "{n}", number_text, cp_numbered, sizeof cp_numbered);
        int many = 1;
        for (const char *c = cp_numbered; *c; c++)
            many += *c == ';';
        for (int pno = 1; pno <= pnum; pno++) { /* the first item is the time; the others are dealt out in order */
            int from = 1 + (many - 1) * (pno - 1) / pnum, to = 1 + (many - 1) * pno / pnum;
            items(cp_numbered, 0, pno == 1 || !strcmp(time_in, "each"), head, sizeof head);
            items(cp_numbered, from, to, body, sizeof body);
            snprintf(cp_now, sizeof cp_now, "%.1024s%s%.4096s", head, *head && *body ? ";" : "", body);
            if (pno > 1)
                moment(qn_text, sizeof qn_text);
            const char *own = strcmp(qn, "now") ? qn : qn_text;
            good &= push_one(&w, own, frame, frame_of(own, pnum > 1 ? cp_now : cp_numbered, pnum, pno, frame), number,
                             pnum, pno);
        }
        if (number < atoi(count) && now_us() < due)
            usleep((useconds_t)(due - now_us()));
    }
    char line[LINE];
    size_t got;
    while (atoi(linger_ms) && next_line(&w, now_us() + 1000LL * atol(linger_ms), line, &got) == 1)
        print_stray(line, got);
    close(w.fd);
    return good ? 0 : 1;
}

/* ---- check and serve -------------------------------------------------------------------------------------------- */

static int check(void)
{
    char line[LINE];
    struct packet p;
    while (fgets(line, sizeof line, stdin)) {
        size_t size = strcspn(line, "\r\n");
        printf("{\"is_packet\": ");
        if (dissect(line, size, &p)) {
            printf("true, ");
            packet_json(&p);
        } else {
            printf("false");
        }
        printf("}\n");
    }
    return 0;
}

static void answer(int fd, const struct packet *p)
{
    char q[64], m[64], w[64], c[64], f[64], body[512], out[FRAME + 1];
    field(p, "CN", c, sizeof c);
    field(p, "Flag", f, sizeof f);
    if (!(atoi(f) & 1))
        return;
    const char *with = !strcmp(c, "1013") || !strcmp(c, "9015") ? "9013" : "9014";
    field(p, "QN", q, sizeof q);
    field(p, "MN", m, sizeof m);
    field(p, "PW", w, sizeof w);
    int n = snprintf(body, sizeof body, "QN=%s;ST=91;CN=%s;PW=%s;MN=%s;Flag=4;CP=&&&&", q, with, w, m);
    n = snprintf(out, sizeof out, "##%04d%s%04X\r\n", n, body, crc16(body, (size_t)n));
    send_all(fd, out, (size_t)n);
}

static void serve(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t long_here = sizeof here;
    int listening = socket(AF_INET, SOCK_STREAM, 0), left = atoi(answers);
    if (listening < 0 || bind(listening, (void *)&here, sizeof here) || listen(listening, 8) ||
        getsockname(listening, (void *)&here, &long_here))
        fail("listen");
    printf("%d\n", ntohs(here.sin_port));
    fflush(stdout);
    for (;;) { /* one logger at a time */
        struct wire w = {.fd = accept(listening, NULL, NULL)};
        char line[LINE];
        size_t size;
        struct packet p;
        while (next_line(&w, now_us() + 3600000000LL, line, &size) == 1) {
            int whole = dissect(line, size, &p);
            printf("{\"is_packet\": %s, ", whole ? "true" : "false");
            if (whole) {
                packet_json(&p);
                printf(", ");
            }
            text_json("raw", line, size);
            printf("}\n");
            fflush(stdout);
            if (whole && p.length_ok && p.crc_ok && left) {
                left -= left > 0;
                answer(w.fd, &p);
            }
        }
        printf("{\"closed\": true}\n");
        fflush(stdout);
        close(w.fd);
    }
}

int main(int argc, char **argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (argc > 1)
        read_options(argc, argv);
    if (argc > 1 && !strcmp(argv[1], "push"))
        return push();
    if (argc > 1 && !strcmp(argv[1], "check"))
        return check();
    if (argc > 1 && !strcmp(argv[1], "serve"))
        serve();
    errno = 0;
    fail("usage: pusher push|check|serve [--OPTION VALUE ...]");
}
