/* The guest: no operating system, one loop that wakes 250 times a second.
 *
 * At each tick it writes some pages of the working set, each after checking that it still holds what was last
 * written there, and checks some pages of the rest of its memory, which it wrote once. How often a page was
 * written, a table knows. Every 25 ticks a line on the first serial port tells: tick, pages written, errors, rate.
 */
typedef unsigned int u32;

struct parameters {            /* written by image.py */
  u32 rate;                    /* pages a tick */
  u32 pattern;                 /* 0 sequential, 1 random, 2 incompressible */
  u32 hot_pages, cold_pages;
  u32 divisor;                 /* of the timer's 1193182 Hz */
};

#define PARAMETERS ((const volatile struct parameters *)0x7e00)
#define TABLE ((u32 *)0x100000)
#define PAGE 4096
#define WORDS (PAGE / 4)
#define TICKS_A_LINE 25
#define COLD_A_TICK 8
#define CHECKED_WORDS 16
#define SERIAL 0x3f8
#define SCRATCH 0x3ff          /* the serial port's scratch register: the rate as set at run time */
#define SCRATCH_IDLE 255

static inline void out(unsigned short port, unsigned char value) {
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline unsigned char in(unsigned short port) {
  unsigned char value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static inline u32 next(u32 random) {            /* Marsaglia's xorshift32 */
  random ^= random << 13;
  random ^= random >> 17;
  return random ^ random << 5;
}

static inline u32 mixed(u32 page, u32 written) { /* never zero, which xorshift would stay at */
  return (page * 0x9e3779b1u ^ written * 0x85ebca6bu) | 1;
}

/* Drop a page from QEMU's software TLB. An entry that QEMU makes while migration reads the dirty bitmap can miss
 * that the page is clean again, and writes through it are lost: a race of TCG in 7.2, not seen with KVM's. */
static inline void forget(const void *at) { __asm__ volatile("invlpg (%0)" : : "r"(at) : "memory"); }

static void print(char separator, u32 value) {
  for (int shift = 28; shift >= 0; shift -= 4) out(SERIAL, "0123456789abcdef"[value >> shift & 15]);
  out(SERIAL, separator);
}

static u32 *hot;
static u32 errors;

static void fill(u32 *at, u32 page, u32 written, int whole) {
  u32 value = mixed(page, written);
  for (u32 word = 0; word < (whole ? WORDS : 1); word++, value = next(value)) at[word] = value;
}

static int intact(const u32 *at, u32 page, u32 written, int whole) {
  u32 value = mixed(page, written);
  for (u32 word = 0; word < (whole ? CHECKED_WORDS : 1); word++, value = next(value))
    if (at[word] != value) return 0;
  return 1;
}

static void write_page(u32 page, int whole) {
  u32 *at = hot + page * WORDS;
  if (!intact(at, page, TABLE[page], whole)) errors++;
  TABLE[page]++;
  fill(at, page, TABLE[page], whole);
  forget(&TABLE[page]);
  forget(at);
}

static u32 pages_a_tick(void) {
  unsigned char set = in(SCRATCH);
  if (set == SCRATCH_IDLE) return 0;
  return set ? set : PARAMETERS->rate;
}

__attribute__((section(".entry"), noreturn)) void run(void) {
  const u32 hot_pages = PARAMETERS->hot_pages, cold_pages = PARAMETERS->cold_pages;
  const u32 pattern = PARAMETERS->pattern;
  const int whole = pattern == 2;
  u32 *cold;
  u32 ticks = 0, written = 0, place = 0, cold_place = 0, random = 1;

  out(0x43, 0x34);
  out(0x40, PARAMETERS->divisor & 255);
  out(0x40, PARAMETERS->divisor >> 8);
  errors = 0;
  hot = (u32 *)((char *)TABLE + (hot_pages * 4 + PAGE - 1) / PAGE * PAGE);
  cold = hot + hot_pages * WORDS;
  out(SERIAL, 'B');
  out(SERIAL, '\n');
  for (u32 page = 0; page < hot_pages; page++) {
    TABLE[page] = 0;
    fill(hot + page * WORDS, page, 0, whole);
  }
  for (u32 page = 0; page < cold_pages; page++) cold[page * WORDS] = ~mixed(page, 0);

  for (;;) {
    u32 rate;
    __asm__ volatile("sti; hlt; cli");
    ticks++;
    rate = pages_a_tick();
    for (u32 count = 0; count < rate; count++) {
      random = next(random);
      write_page(pattern == 1 ? random % hot_pages : place, whole);
      place = place + 1 < hot_pages ? place + 1 : 0;
      written++;
    }
    for (u32 count = 0; count < COLD_A_TICK && cold_pages; count++) {
      if (cold[cold_place * WORDS] != ~mixed(cold_place, 0)) errors++;
      cold_place = cold_place + 1 < cold_pages ? cold_place + 1 : 0;
    }
    if (ticks % TICKS_A_LINE == 0) {
      print(' ', ticks);
      print(' ', written);
      print(' ', errors);
      print('\n', rate);
    }
  }
}
