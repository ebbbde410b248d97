#include "names.h"

#include <stdint.h>
#include <string.h>
#include <sys/random.h>

#include "mem.h"

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

bool name_is_valid(const char *name)
{
    size_t n = strlen(name);

    return n >= 2 && n <= 255 && strchr(NAME_CHARS, name[0]) && strspn(name, NAME_CHARS "_.-") == n;
}

static const char *const adjectives[] = {
    "able",    "agile",   "amber",  "apt",    "ardent",  "astute",  "blithe", "bold",    "brave",
    "bright",  "brisk",   "calm",   "candid", "careful", "clear",   "clever", "cosy",    "crisp",
    "curious", "daring",  "deft",   "eager",  "early",   "elated",  "fair",   "famous",  "fine",
    "fleet",   "focused", "fond",   "free",   "fresh",   "gentle",  "glad",   "golden",  "grand",
    "happy",   "hardy",   "honest", "humble", "jolly",   "keen",    "kind",   "lively",  "lucid",
    "lucky",   "merry",   "mild",   "modest", "neat",    "nimble",  "noble",  "patient", "placid",
    "polite",  "proud",   "quick",  "quiet",  "rapid",   "ready",   "robust", "serene",  "sharp",
    "silent",  "simple",  "sleek",  "solid",  "steady",  "sunny",   "swift",  "tender",  "tidy",
    "upbeat",  "vivid",   "warm",   "wise",   "witty",   "zealous",
};

static const char *const surnames[] = {
    "abel",     "ampere",   "babbage",  "bell",      "bernoulli",  "bohr",    "boole",
    "brahe",    "cantor",   "carson",   "cerf",      "church",     "curie",   "darwin",
    "dijkstra", "dirac",    "einstein", "engelbart", "euclid",     "euler",   "faraday",
    "fermat",   "fermi",    "feynman",  "fourier",   "franklin",   "galileo", "gauss",
    "germain",  "goedel",   "hamilton", "hawking",   "heisenberg", "hertz",   "hilbert",
    "hopper",   "hypatia",  "johnson",  "kepler",    "kernighan",  "khayyam", "knuth",
    "lamarr",   "lamport",  "leibniz",  "liskov",    "lovelace",   "maxwell", "meitner",
    "mendel",   "napier",   "newton",   "noether",   "nobel",      "pascal",  "pasteur",
    "perlman",  "planck",   "ptolemy",  "ramanujan", "riemann",    "ritchie", "shannon",
    "tesla",    "thompson", "torvalds", "turing",    "volta",      "wiles",   "wing",
    "yonath",
};

char *name_invent(unsigned attempt)
{
    uint16_t r[3];

    if (getrandom(r, sizeof(r), 0) != (ssize_t)sizeof(r))
        abort();
    if (attempt == 0)
        return xasprintf("%s_%s", adjectives[r[0] % ARRAY_SIZE(adjectives)],
                         surnames[r[1] % ARRAY_SIZE(surnames)]);
    return xasprintf("%s_%s%u", adjectives[r[0] % ARRAY_SIZE(adjectives)],
                     surnames[r[1] % ARRAY_SIZE(surnames)], r[2] % (10u * attempt * attempt));
}
