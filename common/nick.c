/* SPDX-License-Identifier: MIT */
/* First which nicks there may be, then which ones are taken for each other. Most are ASCII, for which
 * tables do; for the others ICU is asked. */
#include "common/nick.h"

#include "common/hash.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/uscript.h>
#include <unicode/uspoof.h>
#include <unicode/ustring.h>

/* What is typed may be longer than the nick: a full-width letter has three bytes. */
#define TYPED_MAX ((size_t)4 * TEXT_NICK_MAX)
/* UTF-16 units of a look, which is longer than the nick at times. */
#define LOOK_MAX 512
#define LOOK_BYTES (3 * LOOK_MAX + 1)
/* What of a node's name is in a guest's: ids have ten digits at most for as long as a node lives. */
#define NODE_SHOWN_MAX 16

/* --- what is made once --- */

static pthread_once_t key_once = PTHREAD_ONCE_INIT, checker_once = PTHREAD_ONCE_INIT;
static struct hash_key looks_key; /* or strangers could choose nicks that meet */
static USpoofChecker *checker;	  /* opened with the first nick that needs it */

static void nick_make_key(void)
{
	looks_key = hash_key_new();
}

static void nick_open_checker(void)
{
	UErrorCode e = U_ZERO_ERROR;

	checker = uspoof_open(&e);
}

static bool nick_is_ready(void)
{
	pthread_once(&checker_once, nick_open_checker);
	return checker;
}

/* --- which ones there may be --- */

/* What nobody could tell from the text around it: "alice: ", commands, what the server says. */
static bool nick_is_misleading(const char *s, size_t len)
{
	return memchr(s, ':', len) || memchr(s, '*', len) || s[0] == '/' || s[0] == '#' || s[0] == '[';
}

static bool nick_is_ascii(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] < 0x21 || s[i] > 0x7e)
			return false;
	return true;
}

/* RFC 8264, 9.6 (Exceptions), but for digits; and letters and marks that are blank or look like : or *. */
static bool nick_is_exception(UChar32 c, bool *ret_valid)
{
	static const UChar32 valid[] = {0xdf, 0x3c2, 0x6fd, 0x6fe, 0xf0b, 0x3007};
	static const UChar32 invalid[] = {/* by context, which is not looked at */
					  0xb7, 0x375, 0x5f3, 0x5f4, 0x30fb,
					  /* always */
					  0x640, 0x7fa, 0x302e, 0x302f, 0x3031, 0x3032, 0x3033, 0x3034,
					  0x3035, 0x303b,
					  /* ours */
					  0x2d0, 0xa4fd, 0x1031f, 0x13441, 0x13442, 0x16fe4};

	for (size_t i = 0; i < sizeof(valid) / sizeof(*valid); i++)
		if (valid[i] == c) {
			*ret_valid = true;
			return true;
		}
	for (size_t i = 0; i < sizeof(invalid) / sizeof(*invalid); i++)
		if (invalid[i] == c) {
			*ret_valid = false;
			return true;
		}
	return false;
}

static bool nick_has_compat(UChar32 c)
{
	UErrorCode e = U_ZERO_ERROR;
	UChar from[U16_MAX_LENGTH], to[64];
	int32_t n = 0;

	U16_APPEND_UNSAFE(from, n, c);
	int32_t m = unorm2_normalize(unorm2_getNFKCInstance(&e), from, n, to, 64, &e);
	return U_FAILURE(e) || m != n || memcmp(from, to, (size_t)n * sizeof(*to)) != 0;
}

/* RFC 8264, 8: the IdentifierClass. */
static bool nick_is_in_class(UChar32 c)
{
	bool valid;

	if (nick_is_exception(c, &valid))
		return valid;
	if (c > 0x20 && c < 0x7f)
		return true;
	int32_t hangul = u_getIntPropertyValue(c, UCHAR_HANGUL_SYLLABLE_TYPE);
	if (hangul == U_HST_LEADING_JAMO || hangul == U_HST_VOWEL_JAMO || hangul == U_HST_TRAILING_JAMO)
		return false;
	return !u_hasBinaryProperty(c, UCHAR_DEFAULT_IGNORABLE_CODE_POINT) &&
	       U_GET_GC_MASK(c) & (U_GC_LU_MASK | U_GC_LL_MASK | U_GC_LO_MASK | U_GC_LM_MASK | U_GC_ND_MASK |
				   U_GC_MN_MASK | U_GC_MC_MASK) &&
	       !nick_has_compat(c);
}

/* RFC 8264, A.8 and A.9: digits of both kinds look alike in part. */
static bool nick_mixes_arabic_digits(const UChar *s, int32_t n)
{
	bool arabic = false, extended = false;

	for (int32_t i = 0; i < n; i++) {
		arabic |= s[i] >= 0x660 && s[i] <= 0x669;
		extended |= s[i] >= 0x6f0 && s[i] <= 0x6f9;
	}
	return arabic && extended;
}

/* RFC 5893, 2: what is written from right to left isn't torn apart. */
static bool nick_obeys_bidi_rule(const UChar *s, int32_t n)
{
	const uint32_t right = U_MASK(U_RIGHT_TO_LEFT) | U_MASK(U_RIGHT_TO_LEFT_ARABIC),
		       arabic = U_MASK(U_ARABIC_NUMBER), european = U_MASK(U_EUROPEAN_NUMBER),
		       allowed = right | arabic | european | U_MASK(U_EUROPEAN_NUMBER_SEPARATOR) |
				 U_MASK(U_COMMON_NUMBER_SEPARATOR) | U_MASK(U_EUROPEAN_NUMBER_TERMINATOR) |
				 U_MASK(U_OTHER_NEUTRAL) | U_MASK(U_BOUNDARY_NEUTRAL) |
				 U_MASK(U_DIR_NON_SPACING_MARK);
	uint32_t all = 0, first = 0, last = 0;

	for (int32_t i = 0; i < n;) {
		UChar32 c;
		U16_NEXT(s, i, n, c);
		uint32_t one = U_MASK(u_charDirection(c));
		first = first ? first : one;
		last = one == U_MASK(U_DIR_NON_SPACING_MARK) ? last : one;
		all |= one;
	}
	if (!(all & (right | arabic)))
		return true;
	return first & right && !(all & ~allowed) && last & (right | arabic | european) &&
	       !(all & arabic && all & european);
}

/* A mark belongs to a letter of its script: elsewhere many are invisible, or not taken for marks. */
static bool nick_marks_fit(const UChar *s, int32_t n)
{
	UScriptCode script = USCRIPT_INVALID_CODE;
	UErrorCode e = U_ZERO_ERROR;

	for (int32_t i = 0; i < n;) {
		UChar32 c;
		U16_NEXT(s, i, n, c);
		if (!(U_GET_GC_MASK(c) & U_GC_M_MASK)) {
			script = uscript_getScript(c, &e);
			continue;
		}
		if (script == USCRIPT_INVALID_CODE ||
		    (uscript_getScript(c, &e) != USCRIPT_INHERITED && !uscript_hasScript(c, script)))
			return false;
	}
	return U_SUCCESS(e);
}

/* Full-width and half-width forms are mapped to what they are forms of. Returns the length, or -1. */
static int32_t nick_map_width(const UChar *s, int32_t n, UChar *ret, int32_t size)
{
	UErrorCode e = U_ZERO_ERROR;
	const UNormalizer2 *nfkc = unorm2_getNFKCInstance(&e);
	int32_t o = 0;

	for (int32_t i = 0; i < n && U_SUCCESS(e);) {
		UChar32 c;
		U16_NEXT(s, i, n, c);
		int32_t type = u_getIntPropertyValue(c, UCHAR_DECOMPOSITION_TYPE);
		if (type == U_DT_WIDE || type == U_DT_NARROW) {
			o += unorm2_getRawDecomposition(nfkc, c, ret + o, size - o, &e);
		} else {
			UBool full = false;
			U16_APPEND(ret, o, size, c, full);
			if (full)
				return -1;
		}
	}
	return U_SUCCESS(e) ? o : -1;
}

static int nick_normalise_any(const char *s, size_t len, char ret[TEXT_NICK_MAX + 1])
{
	UErrorCode e = U_ZERO_ERROR;
	UChar typed[TYPED_MAX], mapped[TYPED_MAX], nick[TYPED_MAX];
	int32_t n = 0, bytes = 0;

	u_strFromUTF8(typed, TYPED_MAX, &n, s, (int32_t)len, &e);
	if (!nick_is_ready() || U_FAILURE(e) || (n = nick_map_width(typed, n, mapped, TYPED_MAX)) < 0)
		return -EINVAL;
	n = unorm2_normalize(unorm2_getNFCInstance(&e), mapped, n, nick, TYPED_MAX, &e);
	if (U_FAILURE(e))
		return -EINVAL;
	for (int32_t i = 0; i < n;) {
		UChar32 c;
		U16_NEXT(nick, i, n, c);
		if (!nick_is_in_class(c))
			return -EINVAL;
	}
	if (nick_mixes_arabic_digits(nick, n) || !nick_obeys_bidi_rule(nick, n) || !nick_marks_fit(nick, n))
		return -EINVAL;
	u_strToUTF8(ret, TEXT_NICK_MAX + 1, &bytes, nick, n, &e);
	if (U_FAILURE(e) || e == U_STRING_NOT_TERMINATED_WARNING || nick_is_misleading(ret, (size_t)bytes))
		return -EINVAL;
	return bytes;
}

int nick_normalise(const char *s, size_t len, char ret[TEXT_NICK_MAX + 1])
{
	if (len < 1 || len > TYPED_MAX)
		return -EINVAL;
	if (!nick_is_ascii(s, len))
		return nick_normalise_any(s, len, ret);
	if (len > TEXT_NICK_MAX || nick_is_misleading(s, len))
		return -EINVAL;
	memcpy(ret, s, len);
	ret[len] = '\0';
	return (int)len;
}

bool nick_valid(const char *s, size_t len)
{
	char nick[TEXT_NICK_MAX + 1];

	return nick_normalise(s, len, nick) > 0;
}

bool nick_well_formed(const char *s, size_t len)
{
	return len >= 1 && len <= TEXT_NICK_MAX && text_is_clean(s, len) && !memchr(s, ' ', len) &&
	       !memchr(s, '\t', len);
}

/* --- which ones are the same --- */

static uint64_t nick_hash(const char *s, size_t len)
{
	pthread_once(&key_once, nick_make_key);
	return hash_bytes(&looks_key, s, len);
}

/*
 * What a nick looks like, in whatever case: its skeleton, of which the lower case's skeleton, as "O" is what
 * 0 looks like, and o what O is. One more pair has to be joined, i and l, since both look like I at times.
 * In ASCII that is the same character by character; tests compare this table with ICU's.
 */
static size_t nick_ascii_look(const char *s, size_t len, char *ret)
{
	size_t o = 0;

	for (size_t i = 0; i < len; i++) {
		char c = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] | 0x20) : s[i];
		const char *look = c == '0'			      ? "o"
				   : c == '1' || c == 'i' || c == '|' ? "l"
				   : c == 'm'			      ? "rn"
				   : c == '"'			      ? "''"
				   : c == '`'			      ? "'"
				   : c == '%'			      ? "\xc2\xba/\xe2\x82\x80"
								      : NULL;
		if (look)
			o = (size_t)(stpcpy(ret + o, look) - ret);
		else
			ret[o++] = c;
	}
	return o;
}

/* The same of anything. Returns the length, or 0 when it can't be had. */
static size_t nick_look_of(const UChar *s, int32_t n, char ret[LOOK_BYTES])
{
	UErrorCode e = U_ZERO_ERROR;
	UChar a[LOOK_MAX], b[LOOK_MAX];
	int32_t bytes = 0;

	n = uspoof_getSkeleton(checker, 0, s, n, a, LOOK_MAX, &e);
	n = u_strToLower(b, LOOK_MAX, a, U_SUCCESS(e) ? n : 0, "", &e);
	n = uspoof_getSkeleton(checker, 0, b, U_SUCCESS(e) ? n : 0, a, LOOK_MAX, &e);
	if (U_FAILURE(e))
		return 0;
	for (int32_t i = 0; i < n; i++)
		if (a[i] == 'i')
			a[i] = 'l';
	u_strToUTF8(ret, LOOK_BYTES - 1, &bytes, a, n, &e);
	return U_SUCCESS(e) ? (size_t)bytes : 0;
}

/* The looks of a nick: one, or that of its lower case and that of what was typed, as a letter may look like
 * one and its capital like the capital of another. */
struct looks {
	char at[NICK_KEYS][LOOK_BYTES];
	size_t len[NICK_KEYS];
	unsigned n;
};

static void nick_look_at(struct looks *l, const char *s, size_t len)
{
	UErrorCode e = U_ZERO_ERROR;
	UChar nick[TEXT_NICK_MAX], lower[LOOK_MAX];
	int32_t n = 0;

	char normal[TEXT_NICK_MAX + 1];
	int normal_len = nick_is_ascii(s, len) ? -1 : nick_normalise(s, len, normal);
	if (normal_len > 0) {
		s = normal;
		len = (size_t)normal_len;
	}
	if (len > TEXT_NICK_MAX)
		len = TEXT_NICK_MAX;
	l->n = 1;
	if (nick_is_ascii(s, len)) {
		l->len[0] = nick_ascii_look(s, len, l->at[0]);
		return;
	}
	u_strFromUTF8WithSub(nick, TEXT_NICK_MAX, &n, s, (int32_t)len, 0xfffd, NULL, &e);
	int32_t m = u_strToLower(lower, LOOK_MAX, nick, n, "", &e);
	if (U_SUCCESS(e) && nick_is_ready()) {
		l->len[0] = nick_look_of(lower, m, l->at[0]);
		l->len[1] = nick_look_of(nick, n, l->at[1]);
		l->n = 2;
		if (l->len[0] > 0 && l->len[1] > 0)
			return;
	}
	/* Then it isn't a valid nick, and looks like itself only. */
	l->n = 1;
	l->len[0] = len;
	memcpy(l->at[0], s, len);
}

struct nick_keys nick_keys(const char *s, size_t len)
{
	struct looks l;
	struct nick_keys keys;

	nick_look_at(&l, s, len);
	keys.at[0] = nick_hash(l.at[0], l.len[0]);
	keys.at[1] = l.n > 1 ? nick_hash(l.at[1], l.len[1]) : keys.at[0];
	return keys;
}

bool nick_keys_meet(const struct nick_keys *a, const struct nick_keys *b)
{
	return a->at[0] == b->at[0] || a->at[0] == b->at[1] || a->at[1] == b->at[0] || a->at[1] == b->at[1];
}

bool nick_same(const char *a, size_t a_len, const char *b, size_t b_len)
{
	struct nick_keys x = nick_keys(a, a_len), y = nick_keys(b, b_len);

	return nick_keys_meet(&x, &y);
}

static char nick_ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* The lower case of a valid nick, composed. Returns the length, or -1. */
static int32_t nick_fold(const char *s, size_t len, UChar ret[LOOK_MAX])
{
	UErrorCode e = U_ZERO_ERROR;
	char normal[TEXT_NICK_MAX + 1];
	UChar nick[TEXT_NICK_MAX], lower[LOOK_MAX];
	int32_t n = 0;
	int bytes = nick_normalise(s, len, normal);

	if (bytes < 0)
		return -1;
	u_strFromUTF8(nick, TEXT_NICK_MAX, &n, normal, bytes, &e);
	n = u_strToLower(lower, LOOK_MAX, nick, U_SUCCESS(e) ? n : 0, "", &e);
	n = unorm2_normalize(unorm2_getNFCInstance(&e), lower, U_SUCCESS(e) ? n : 0, ret, LOOK_MAX, &e);
	return U_SUCCESS(e) ? n : -1;
}

bool nick_equal(const char *a, size_t a_len, const char *b, size_t b_len)
{
	UChar x[LOOK_MAX], y[LOOK_MAX];
	bool same = a_len == b_len;

	for (size_t i = 0; same && i < a_len; i++)
		same = nick_ascii_lower(a[i]) == nick_ascii_lower(b[i]);
	if (same || (nick_is_ascii(a, a_len) && nick_is_ascii(b, b_len)))
		return same;
	int32_t n = nick_fold(a, a_len, x), m = nick_fold(b, b_len, y);
	return n >= 0 && n == m && memcmp(x, y, (size_t)n * sizeof(*x)) == 0;
}

bool nick_is_chatds(const char *s, size_t len)
{
	return nick_is_guest(s, len) || nick_same(s, len, "admin", 5) || nick_same(s, len, "chatd", 5);
}

size_t nick_of_guest(uint64_t id, const char *node, char ret[static TEXT_NICK_MAX + 1])
{
	int n = snprintf(ret, TEXT_NICK_MAX + 1, "guest%" PRIu64, id);

	if (!node)
		return (size_t)n;
	/* A name that may not fit is told apart by its hash. */
	if (strlen(node) <= NODE_SHOWN_MAX)
		n += snprintf(ret + n, TEXT_NICK_MAX + 1 - (size_t)n, "-%s", node);
	else
		n += snprintf(ret + n, TEXT_NICK_MAX + 1 - (size_t)n, "-%.*s-%08" PRIx32, NODE_SHOWN_MAX - 9,
			      node, (uint32_t)hash_fixed(node, strlen(node)));
	return n <= TEXT_NICK_MAX ? (size_t)n : TEXT_NICK_MAX;
}

/* Whether it looks like "guest" and a number, of a node or not. */
static bool nick_looks_like_guest(const char *s, size_t len, bool of_node)
{
	struct looks l;

	nick_look_at(&l, s, len);
	for (unsigned i = 0; i < l.n; i++) {
		size_t n = l.len[i];
		const char *digits = l.at[i] + 5;
		l.at[i][n] = '\0';
		/* Here o and l are what 0 and 1 look like. */
		if (n <= 5 || memcmp(l.at[i], "guest", 5) != 0 || *digits == 'o')
			continue;
		size_t k = strspn(digits, "ol23456789");
		if (k == n - 5 || (of_node && k > 0 && digits[k] == '-'))
			return true;
	}
	return false;
}

bool nick_is_guest(const char *s, size_t len)
{
	return nick_looks_like_guest(s, len, false);
}

bool nick_is_guest_of_node(const char *s, size_t len)
{
	return nick_looks_like_guest(s, len, true);
}
