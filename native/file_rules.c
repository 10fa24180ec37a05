/* Which files are looked at, and how: patterns over whole paths, of which the first that matches decides. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "file_walk.h"

#define NOWHERE	((size_t)-1)
/* As many as a record can name. */
#define RULES_MAX	4096

/*
 * Goes back to the last '*', and where that may not reach further to the last
 * '**': what came before them need not be tried again, since they match anything.
 */
bool file_pattern_matches(const char *p, size_t len, const char *s, size_t path_len)
{
	size_t star = NOWHERE, star_at = 0, deep = NOWHERE, deep_at = 0, k = 0, i = 0;
	bool whole_names = false;

	for (;;) {
		if (k == len) {
			if (i == path_len || s[i] == '/' || (i && s[i - 1] == '/'))
				return true;
		} else if (p[k] == '*' && k + 1 < len && p[k + 1] == '*') {
			/* Between slashes: any number of whole names, none as well. */
			whole_names = k && p[k - 1] == '/' && k + 2 < len && p[k + 2] == '/';
			k += whole_names ? 3 : 2;
			deep = k;
			deep_at = i;
			star = NOWHERE;
			continue;
		} else if (p[k] == '*') {
			star = ++k;
			star_at = i;
			continue;
		} else if (i < path_len) {
			bool escaped = p[k] == '\\' && k + 1 < len;

			if (escaped ? s[i] == p[k + 1] : s[i] == p[k] || (p[k] == '?' && s[i] != '/')) {
				k += escaped ? 2 : 1;
				i++;
				continue;
			}
		}
		if (star != NOWHERE && star_at < path_len && s[star_at] != '/') {
			k = star;
			i = ++star_at;
			continue;
		}
		if (deep == NOWHERE)
			return false;
		while (whole_names && deep_at < path_len && s[deep_at] != '/')
			deep_at++;
		if (deep_at >= path_len)
			return false;
		k = deep;
		i = ++deep_at;
		star = NOWHERE;
	}
}

static size_t literal_of(const char *pattern, size_t len)
{
	size_t n = 0;

	while (n < len && !strchr("*?\\", pattern[n]))
		n++;
	return n;
}

int file_rules_parse(const char *text, size_t len, struct file_rules *ret)
{
	struct file_rules rules = { 0 };
	size_t at, n = 0;

	for (at = 0; at < len; at++)
		n += text[at] == '\0';
	if (n > RULES_MAX || (len && text[len - 1] != '\0'))
		return -EINVAL;
	rules.text = malloc(len + 1);
	rules.rule = calloc(n + 1, sizeof(*rules.rule));
	if (!rules.text || !rules.rule) {
		file_rules_free(&rules);
		return -ENOMEM;
	}
	memcpy(rules.text, text, len);
	for (at = 0; at < len; rules.n++) {
		struct file_rule *rule = &rules.rule[rules.n];

		rule->how = (unsigned char)rules.text[at];
		rule->pattern = rules.text + at + 1;
		rule->len = rule->how ? strlen(rule->pattern) : 0;
		if (!rule->len) {
			file_rules_free(&rules);
			return -EINVAL;
		}
		rule->literal = literal_of(rule->pattern, rule->len);
		at += rule->len + 2;
	}
	*ret = rules;
	return 0;
}

void file_rules_free(struct file_rules *rules)
{
	free(rules->text);
	free(rules->rule);
	memset(rules, 0, sizeof(*rules));
}

static bool is_of(const struct file_rule *rule, unsigned int type)
{
	unsigned int types = rule->how & (FILE_RULE_FILE | FILE_RULE_FOLDER | FILE_RULE_LINK | FILE_RULE_OTHER);

	return !types || types & type;
}

size_t file_rules_find(const struct file_rules *rules, unsigned int type, const char *path, size_t len)
{
	size_t i;

	for (i = 0; i < rules->n; i++) {
		const struct file_rule *rule = &rules->rule[i];

		if (is_of(rule, type) && rule->literal <= len && !memcmp(rule->pattern, path, rule->literal) &&
		    file_pattern_matches(rule->pattern, rule->len, path, len))
			break;
	}
	return i;
}

bool file_rules_want_below(const struct file_rules *rules, size_t by, const char *path, size_t len)
{
	size_t i;

	for (i = 0; i < by && i < rules->n; i++) {
		const struct file_rule *rule = &rules->rule[i];
		size_t common = rule->literal < len ? rule->literal : len;

		/* As far as both are plain text: it may be more than will be found. */
		if (!(rule->how & FILE_RULE_SKIP) && !memcmp(rule->pattern, path, common) &&
		    (rule->literal <= len || len == 1 || rule->pattern[len] == '/'))
			return true;
	}
	return false;
}
