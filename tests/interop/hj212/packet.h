/* A packet of HJ 212-2017 as received: its length and CRC, given and found, and its fields as JSON. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT 1024
#define FRAME (2 + 4 + SEGMENT + 4 + 2)
#define LINE 8192

/* Annex A: the old low byte is thrown away, which tells it from the CRC of Modbus. */
static unsigned crc16(const char *data, size_t size)
{
    unsigned reg = 0xFFFF;
    for (size_t i = 0; i < size; i++) {
        reg = (reg >> 8) ^ (unsigned char)data[i];
        for (int bit = 0; bit < 8; bit++) {
            unsigned out = reg & 1;
            reg >>= 1;
            if (out)
                reg ^= 0xA001;
        }
    }
    return reg;
}

/* ---- a packet as received -------------------------------------------------------------------------------------- */

struct packet {
    size_t size;           /* of the whole frame without CR LF */
    size_t length_field;   /* as printed behind ## */
    size_t segment;        /* as counted */
    unsigned crc_given, crc_found;
    int length_ok, crc_ok;
    char text[SEGMENT + 1];
};

/* Takes a frame that lies in `data` whole, up to (not with) its CR LF. */
static int dissect(const char *data, size_t size, struct packet *p)
{
    memset(p, 0, sizeof *p);
    if (size < 10 || memcmp(data, "##", 2) || size - 10 > SEGMENT)
        return 0;
    for (int i = 2; i < 6; i++) {
        if (!isdigit((unsigned char)data[i]))
            return 0;
        p->length_field = p->length_field * 10 + (size_t)(data[i] - '0');
    }
    for (size_t i = size - 4; i < size; i++)
        if (!isxdigit((unsigned char)data[i]))
            return 0;
    char digits[5] = {0};
    memcpy(digits, data + size - 4, 4);
    p->size = size;
    p->crc_given = (unsigned)strtoul(digits, NULL, 16);
    p->segment = size - 10;
    memcpy(p->text, data + 6, p->segment);
    p->crc_found = crc16(p->text, p->segment);
    p->length_ok = p->length_field == p->segment;
    p->crc_ok = p->crc_given == p->crc_found;
    return 1;
}

/* The value of a field before CP, or "". */
static const char *field(const struct packet *p, const char *name, char *out, size_t room)
{
    const char *end = strstr(p->text, "CP=&&"), *at = p->text;
    size_t long_name = strlen(name);
    *out = 0;
    while (at && *at && (!end || at < end)) {
        if (!strncmp(at, name, long_name) && at[long_name] == '=') {
            size_t size = strcspn(at + long_name + 1, ";");
            size = size < room ? size : room - 1;
            memcpy(out, at + long_name + 1, size);
            out[size] = 0;
            break;
        }
        at = strchr(at, ';');
        at = at ? at + 1 : NULL;
    }
    return out;
}

static const char *content(const struct packet *p, char *out, size_t room)
{
    const char *begin = strstr(p->text, "CP=&&"), *end = begin ? strstr(begin + 5, "&&") : NULL;
    *out = 0;
    for (const char *next = end; next; next = strstr(next + 1, "&&"))
        end = next;
    if (end)
        snprintf(out, room, "%.*s", (int)(end - begin - 5), begin + 5);
    return out;
}

static void text_json(const char *name, const char *text, size_t size)
{
    printf("\"%s\": \"", name);
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 32 || c > 126 || c == '"' || c == '\\')
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void packet_json(const struct packet *p)
{
    static const char *names[] = {"QN", "ST", "CN", "PW", "MN", "Flag", "PNUM", "PNO"};
    char value[LINE];
    printf("\"length_field\": %zu, \"length\": %zu, \"crc_given\": \"%04X\", \"crc\": \"%04X\", \"length_ok\": %s, "
           "\"crc_ok\": %s",
           p->length_field, p->segment, p->crc_given, p->crc_found, p->length_ok ? "true" : "false",
           p->crc_ok ? "true" : "false");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        field(p, names[i], value, sizeof value);
        printf(", ");
        text_json(names[i], value, strlen(value));
    }
    content(p, value, sizeof value);
    printf(", ");
    text_json("CP", value, strlen(value));
}
