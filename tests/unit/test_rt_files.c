/* Readers of foreign files: what is well formed is read, every truncation and every lie is refused
 * with a message, and nothing outside the buffer is touched (buffers are exact copies, for the
 * sanitizer). */
#include "tests/unit/rt_fixture.h"

#include "runtime/data.h"
#include "runtime/npy.h"
#include "runtime/safetensors.h"
#include "runtime/signals.h"

#include <math.h>
#include <unistd.h>

typedef struct blob {
    unsigned char bytes[8192];
    size_t n;
} blob;

static void put(blob *b, const void *p, size_t n)
{
    assert_true(b->n + n <= sizeof b->bytes);
    memcpy(b->bytes + b->n, p, n);
    b->n += n;
}

/* ---- npy ---- */

static blob npy_blob(int version, const char *dict, size_t data)
{
    blob b = {.n = 0};
    unsigned char head[12] = {0x93, 'N', 'U', 'M', 'P', 'Y', (unsigned char)version, 0};
    size_t len = strlen(dict);
    head[8] = (unsigned char)len;
    head[9] = (unsigned char)(len >> 8);
    put(&b, head, version == 1 ? 10 : 12);
    put(&b, dict, len);
    for (size_t i = 0; i < data; i++)
        b.bytes[b.n++] = (unsigned char)i;
    return b;
}

static BmStatus parse_npy(const blob *b, size_t n, bmrt_npy *out, bmrt_error *e)
{
    unsigned char *exact = malloc(n > 0 ? n : 1);
    assert_non_null(exact);
    memcpy(exact, b->bytes, n);
    e->text[0] = 0;
    BmStatus s = bmrt_npy_parse(exact, n, "f.npy", out, e);
    free(exact);
    assert_true(s == BMRT_OK || e->text[0]);
    return s;
}

static void good_npy(void **state)
{
    (void)state;
    bmrt_npy a;
    bmrt_error e;
    for (int version = 1; version <= 3; version++) {
        blob b = npy_blob(version,
                          "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }   \n", 24);
        assert_int_equal(bmrt_npy_parse(b.bytes, b.n, "f", &a, &e), BMRT_OK);
        assert_true(a.type == BMRT_SRC_I32 && a.ndim == 2 && a.dim[0] == 2 && a.dim[1] == 3);
        assert_int_equal(bmrt_source_int(a.type, a.data, 1), 0x07060504);
        for (size_t n = 0; n < b.n; n++)
            assert_int_equal(parse_npy(&b, n, &a, &e), BMRT_MODEL);
        b.bytes[b.n++] = 0;
        assert_int_equal(parse_npy(&b, b.n, &a, &e), BMRT_MODEL);
    }
    static const struct {
        const char *dict;
        bmrt_source type;
        size_t bytes;
    } good[] = {
        {"{\"shape\": (), 'descr': '<f8', 'fortran_order': False}", BMRT_SRC_F64, 8},
        {"{'descr':'|b1','fortran_order':False,'shape':(5,)}", BMRT_SRC_BOOL, 5},
        {"{'descr':'|u1','fortran_order':False,'shape':(5,)}", BMRT_SRC_U8, 5},
        {"{'descr':'<u2','fortran_order':False,'shape':(0, 7)}\n", BMRT_SRC_U16, 0},
        {"{'descr':'<i8','fortran_order':False,'shape':(1,1,1,1,1,1,1,2,)}", BMRT_SRC_I64, 16},
    };
    for (int i = 0; i < (int)(sizeof good / sizeof *good); i++) {
        blob b = npy_blob(1, good[i].dict, good[i].bytes);
        if (parse_npy(&b, b.n, &a, &e) != BMRT_OK)
            fail_msg("%s: %s", good[i].dict, e.text);
        assert_int_equal(a.type, good[i].type);
    }
}

static void bad_npy(void **state)
{
    (void)state;
    static const struct {
        const char *dict, *text;
    } bad[] = {
        {"{'descr': '>i4', 'fortran_order': False, 'shape': (2,)}", "type '>i4'"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", "type '|O'"},
        {"{'descr': '<f2', 'fortran_order': False, 'shape': (4,)}", "type '<f2'"},
        {"{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (2,)}", "no plain number"},
        {"{'descr': '<i4', 'fortran_order': True, 'shape': (2,)}", "Fortran order"},
        {"{'descr': '<i4', 'fortran_order': 0, 'shape': (2,)}", "fortran_order"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (2)}", "no shape"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (-2,)}", "no shape"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (2,,)}", "no shape"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (2,3", "no shape"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (3,)}", "needs 12"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (1,)}", "needs 4"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,2)}", "8 axes"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (4611686018427387906,)}", "needs"},
        {"{'descr': '<i8', 'fortran_order': False, 'shape': (2305843009213693953,)}", "needs"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "2^63"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", "2^63"},
        {"{'descr': '<i4', 'fortran_order': False}", "missing key"},
        {"{'descr': '<i4', 'shape': (2,), 'shape': (2,), 'fortran_order': False}", "repeated"},
        {"{'descr': '<i4', 'x': (2,), 'fortran_order': False}", "unknown or repeated"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (2,)} x", "text after"},
        {"{'descr': '<i4' 'fortran_order': False, 'shape': (2,)}", "no dictionary"},
        {"('descr', '<i4')", "no dictionary"},
        {"", "no dictionary"},
        {"{'descr': '<i\\x34', 'fortran_order': False, 'shape': (2,)}", "no plain number"},
    };
    bmrt_npy a;
    bmrt_error e;
    for (int i = 0; i < (int)(sizeof bad / sizeof *bad); i++) {
        blob b = npy_blob(1, bad[i].dict, 8);
        BmStatus s = parse_npy(&b, b.n, &a, &e);
        if (s != BMRT_MODEL || !strstr(e.text, bad[i].text))
            fail_msg("%s: %d %s", bad[i].dict, (int)s, e.text);
    }
    blob b = npy_blob(4, "{'descr': '<i4', 'fortran_order': False, 'shape': (2,)}", 8);
    assert_int_equal(parse_npy(&b, b.n, &a, &e), BMRT_MODEL);
    assert_non_null(strstr(e.text, "version 4.0"));
}

/* ---- tokens ---- */

static BmStatus parse_tokens(const blob *b, size_t n, const char *format, int64_t *count,
                             bmrt_error *e)
{
    bmrt_source type;
    const unsigned char *data;
    e->text[0] = 0;
    BmStatus s = bmrt_tokens_parse(b->bytes, n, format, "f.bin", &type, &data, count, e);
    assert_true(s == BMRT_OK || e->text[0]);
    if (s == BMRT_OK)
        assert_true(data >= b->bytes &&
                    data + (size_t)*count * bmrt_source_size(type) == b->bytes + n);
    return s;
}

static void token_files(void **state)
{
    (void)state;
    bmrt_error e;
    int64_t count;
    for (int wide = 0; wide < 2; wide++) {
        blob b = {.n = 0};
        int32_t header[256] = {wide ? 20240801 : 20240520, wide ? 7 : 1, 5};
        put(&b, header, sizeof header);
        put(&b, "01234567890123456789", wide ? 20 : 10);
        assert_int_equal(parse_tokens(&b, b.n, "llmc", &count, &e), BMRT_OK);
        assert_int_equal(count, 5);
        for (size_t n = 0; n < b.n; n++)
            assert_int_equal(parse_tokens(&b, n, "llmc", &count, &e), BMRT_MODEL);
        assert_int_equal(parse_tokens(&b, b.n + 1, "llmc", &count, &e), BMRT_MODEL);
        b.bytes[4]++;
        assert_int_equal(parse_tokens(&b, b.n, "llmc", &count, &e), BMRT_MODEL);
        assert_non_null(strstr(e.text, "version"));
        b.bytes[4]--;
        memset(b.bytes + 8, 0xff, 4);
        assert_int_equal(parse_tokens(&b, b.n, "llmc", &count, &e), BMRT_MODEL);
        b.bytes[0]++;
        assert_int_equal(parse_tokens(&b, b.n, "llmc", &count, &e), BMRT_MODEL);
        assert_non_null(strstr(e.help, "u16"));
    }
    blob raw = {.n = 12};
    assert_int_equal(parse_tokens(&raw, 12, "u16", &count, &e), BMRT_OK);
    assert_int_equal(count, 6);
    assert_int_equal(parse_tokens(&raw, 12, "u32", &count, &e), BMRT_OK);
    assert_int_equal(count, 3);
    assert_int_equal(parse_tokens(&raw, 11, "u16", &count, &e), BMRT_MODEL);
    assert_int_equal(parse_tokens(&raw, 10, "u32", &count, &e), BMRT_MODEL);
    assert_int_equal(parse_tokens(&raw, 12, "u8", &count, &e), BMRT_MODEL);
    assert_int_equal(parse_tokens(&raw, 12, NULL, &count, &e), BMRT_MODEL);
}

static void limits(void **state)
{
    (void)state;
    enum { M = 20000 };
    static int32_t v[M];
    static uint16_t w[M];
    static int64_t l[M];
    for (int i = 0; i < M; i++)
        l[i] = v[i] = w[i] = (uint16_t)(i % 100);
    const unsigned char *pv = (const unsigned char *)v, *pw = (const unsigned char *)w;
    const unsigned char *pl = (const unsigned char *)l;
    assert_int_equal(bmrt_first_outside(BMRT_SRC_I32, pv, M, 100, false), M);
    assert_int_equal(bmrt_first_outside(BMRT_SRC_I32, pv, M, 99, false), 99);
    assert_int_equal(bmrt_first_outside(BMRT_SRC_U16, pw, M, 100, false), M);
    v[15001] = -1;
    w[15002] = 100;
    l[15003] = (int64_t)1 << 32;
    assert_int_equal(bmrt_first_outside(BMRT_SRC_I32, pv, M, 100, false), 15001);
    assert_int_equal(bmrt_first_outside(BMRT_SRC_U16, pw, M, 100, false), 15002);
    assert_int_equal(bmrt_first_outside(BMRT_SRC_I64, pl, M, 100, false), 15003);
    v[15001] = -100;
    assert_int_equal(bmrt_first_outside(BMRT_SRC_I32, pv, M, 100, false), 15001);
    assert_int_equal(bmrt_first_outside(BMRT_SRC_I32, pv, M, 100, true), M);
    v[3] = -99;
    assert_int_equal(bmrt_first_outside(BMRT_SRC_I32, pv, M, 100, true), 3);
}

static void conversions(void **state)
{
    (void)state;
    static const struct {
        uint16_t bits;
        double v;
    } half[] = {{0x3c00, 1},
                {0xc000, -2},
                {0x7bff, 65504},
                {0x0001, 5.9604644775390625e-8},
                {0x03ff, 6.0975551605224609e-5},
                {0x0400, 6.103515625e-5},
                {0x8000, 0}};
    for (int i = 0; i < (int)(sizeof half / sizeof *half); i++)
        assert_true(bmrt_source_real(BMRT_SRC_F16, (const unsigned char *)&half[i].bits, 0) ==
                    half[i].v);
    uint16_t inf = 0xfc00, nan = 0x7c01, bf = 0xbfc0;
    assert_true(bmrt_source_real(BMRT_SRC_F16, (const unsigned char *)&inf, 0) ==
                -(double)INFINITY);
    assert_true(isnan(bmrt_source_real(BMRT_SRC_F16, (const unsigned char *)&nan, 0)));
    assert_true(bmrt_source_real(BMRT_SRC_BF16, (const unsigned char *)&bf, 0) == -1.5);
    const double d[2] = {0.1, -3};
    real out[2];
    bmrt_source_copy(BMRT_SRC_F64, (const unsigned char *)d, 0, 2, BMRT_F32, out);
    assert_true(out[0] == (real)0.1 && out[1] == -3);
    const uint32_t u[2] = {7, 4000000};
    int32_t ints[2];
    unsigned char bools[2];
    bmrt_source_copy(BMRT_SRC_U32, (const unsigned char *)u, 0, 2, BMRT_I32, ints);
    assert_true(ints[0] == 7 && ints[1] == 4000000);
    bmrt_source_copy(BMRT_SRC_BOOL, (const unsigned char *)"\0\5", 0, 2, BMRT_U8, bools);
    assert_true(bools[0] == 0 && bools[1] == 1);
}

/* ---- safetensors ---- */

static blob st_blob(const char *json, size_t data)
{
    blob b = {.n = 0};
    uint64_t n = strlen(json);
    put(&b, &n, 8);
    put(&b, json, (size_t)n);
    for (size_t i = 0; i < data; i++)
        b.bytes[b.n++] = (unsigned char)i;
    return b;
}

static BmStatus parse_st(const blob *b, size_t n, bmrt_error *e)
{
    unsigned char *exact = malloc(n > 0 ? n : 1);
    assert_non_null(exact);
    memcpy(exact, b->bytes, n);
    bmrt_st st;
    e->text[0] = 0;
    BmStatus s = bmrt_st_parse(exact, n, "f.st", &st, e);
    if (s == BMRT_OK)
        bmrt_st_close(&st);
    free(exact);
    assert_true(s == BMRT_OK || e->text[0]);
    return s;
}

#define ENTRY(name, dtype, shape, from, to)                                                        \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" from "," to   \
    "]}"

static void good_safetensors(void **state)
{
    (void)state;
    bmrt_error e;
    blob b = st_blob(
        "{\"__metadata__\":{\"format\":\"pt\"}," ENTRY("b", "F32", "2,3", "8", "32") "," ENTRY(
            "a", "F16", "4", "0", "8") "," ENTRY("e", "I64", "0", "8",
                                                 "8") "," ENTRY("s", "U8", "", "32",
                                                                "33") "," ENTRY("f", "F8_E4M3", "2",
                                                                                "33", "35") "}  ",
        35);
    bmrt_st st;
    assert_int_equal(bmrt_st_parse(b.bytes, b.n, "f", &st, &e), BMRT_OK);
    assert_int_equal(st.n, 5);
    assert_string_equal(st.entry[0].name, "a");
    assert_string_equal(st.entry[1].name, "e");
    assert_string_equal(st.entry[2].name, "b");
    assert_true(st.entry[2].ndim == 2 && st.entry[2].dim[1] == 3 && st.entry[2].count == 6);
    assert_true(st.entry[3].ndim == 0 && st.entry[3].count == 1 && st.entry[3].known);
    assert_false(st.entry[4].known);
    bmrt_st_close(&st);
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(parse_st(&b, n, &e), BMRT_MODEL);
    b.bytes[b.n++] = 0;
    assert_int_equal(parse_st(&b, b.n, &e), BMRT_MODEL);
    blob empty = st_blob("{}", 0);
    assert_int_equal(parse_st(&empty, empty.n, &e), BMRT_OK);
}

static void bad_safetensors(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        size_t data;
        const char *text;
    } bad[] = {
        {"[]", 0, "does not begin with {"},
        {" {}", 0, "does not begin with {"},
        {"{", 0, "no JSON"},
        {"{}x", 0, "no JSON"},
        {"{" ENTRY("a", "U8", "4", "0", "4") "," ENTRY("a", "U8", "4", "0", "4") "}", 4, "no JSON"},
        {"{\"__metadata__\":{\"x\":1}}", 0, "no string"},
        {"{\"__metadata__\":[]}", 0, "no object"},
        {"{\"a\":7}", 0, "is not described"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "is not described"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":1}}", 1,
         "is not described"},
        {"{\"a\":{\"dtype\":8,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "no dtype"},
        {"{" ENTRY("a", "U9", "4", "0", "4") "}", 4, "not in the format"},
        {"{" ENTRY("a", "U8", "4.0", "0", "4") "}", 4, "a size that is no number"},
        {"{" ENTRY("a", "U8", "-4", "0", "4") "}", 4, "a size that is no number"},
        {"{" ENTRY("a", "U8", "1,1,1,1,1,1,1,1,4", "0", "4") "}", 4, "8 axes"},
        {"{" ENTRY("a", "U8", "4294967296,4294967296", "0", "4") "}", 4, "2^63"},
        {"{" ENTRY("a", "F64", "2305843009213693952", "0", "4") "}", 4, "another number"},
        {"{" ENTRY("a", "U8", "4", "0", "5") "}", 4, "outside the file"},
        {"{" ENTRY("a", "U8", "4", "4", "0") "}", 4, "outside the file"},
        {"{" ENTRY("a", "U8", "4", "-1", "3") "}", 4, "outside the file"},
        {"{" ENTRY("a", "U8", "3", "0", "4") "}", 4, "another number"},
        {"{" ENTRY("a", "F4", "1", "0", "1") "}", 1, "another number"},
        {"{" ENTRY("a", "U8", "3", "1", "4") "}", 4, "a hole"},
        {"{" ENTRY("a", "U8", "2", "0", "2") "," ENTRY("b", "U8", "1", "3", "4") "}", 4, "a hole"},
        {"{" ENTRY("a", "U8", "3", "0", "3") "," ENTRY("b", "U8", "2", "2", "4") "}", 4,
         "overlaps"},
        {"{" ENTRY("a", "U8", "3", "0", "3") "}", 4, "bytes follow"},
        {"{}", 1, "bytes follow"},
    };
    bmrt_error e;
    for (int i = 0; i < (int)(sizeof bad / sizeof *bad); i++) {
        blob b = st_blob(bad[i].json, bad[i].data);
        BmStatus s = parse_st(&b, b.n, &e);
        if (s != BMRT_MODEL || !strstr(e.text, bad[i].text))
            fail_msg("%s: %d %s", bad[i].json, (int)s, e.text);
    }
}

static void unreasonable_safetensors(void **state)
{
    (void)state;
    bmrt_error e;
    blob b = {.n = 0};
    uint64_t huge = UINT64_MAX;
    put(&b, &huge, 8);
    put(&b, "{}", 2);
    assert_int_equal(parse_st(&b, b.n, &e), BMRT_MODEL);
    /* a name that is too long, and nesting beyond reason */
    static char json[4000];
    memset(json, 'n', sizeof json);
    memcpy(json, "{\"", 2);
    strcpy(json + 600, "\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}");
    b = st_blob(json, 1);
    assert_int_equal(parse_st(&b, b.n, &e), BMRT_MODEL);
    assert_non_null(strstr(e.text, "256 bytes"));
    memset(json, '[', 3999);
    memcpy(json, "{\"a\":", 5);
    json[3999] = 0;
    b = st_blob(json, 1);
    assert_int_equal(parse_st(&b, b.n, &e), BMRT_MODEL);
}

/* ---- a file that gets shorter ---- */

static void cut_short(void **state)
{
    (void)state;
    const char *path = "cut.bin";
    bmrt_mapped f, other;
    bmrt_error e = {"", ""};
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    for (int i = 0; i < 20000; i++)
        assert_int_not_equal(fputc(i & 255, out), EOF);
    assert_int_equal(fclose(out), 0);
    bmrt_signals_catch();
    assert_int_equal(bmrt_map(path, &f, &e), BMRT_OK);
    assert_int_equal(bmrt_map(path, &other, &e), BMRT_OK);
    bmrt_unmap(&other);
    assert_int_equal(bmrt_map_check(&f, &e), BMRT_OK);
    assert_int_equal(truncate(path, 19999), 0);
    assert_int_equal(bmrt_map_check(&f, &e), BMRT_MACHINE);
    assert_string_equal(
        e.text, "'cut.bin' had 20000 bytes and has 19999: it was cut short while it was read");
    assert_int_equal(truncate(path, 100), 0);
    volatile const unsigned char *byte = f.at;
    assert_int_equal(byte[99], 99);
    assert_int_equal(byte[19000], 0); /* on a page that is gone: zeros, not SIGBUS */
    /* As long as before, but what was read is not what the file had. */
    assert_int_equal(truncate(path, 20000), 0);
    assert_int_equal(bmrt_map_check(&f, &e), BMRT_MACHINE);
    assert_non_null(strstr(e.text, "'cut.bin': the page at byte "));
    bmrt_unmap(&f);
    assert_int_equal(remove(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_npy),        cmocka_unit_test(bad_npy),
        cmocka_unit_test(token_files),     cmocka_unit_test(limits),
        cmocka_unit_test(conversions),     cmocka_unit_test(good_safetensors),
        cmocka_unit_test(bad_safetensors), cmocka_unit_test(unreasonable_safetensors),
        cmocka_unit_test(cut_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
