// Runs a grid: threadgroups one after another, the threads of a threadgroup in turns on one core.
// A thread runs until it needs the others: a barrier or a simdgroup operation. Both must be reached by
// all threads at the same line, which Metal's barriers and CUDA's *_sync functions demand as well.
#pragma once
#include <algorithm>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>
#include <sys/mman.h>
#include "fiber.h"

namespace emulator {

constexpr int SIMD_WIDTH = 32;
constexpr size_t STACK_BYTES = 256 << 10;
constexpr size_t MAX_THREADGROUP_BYTES = 32 << 10;

struct Array;  // memory.h
struct Position { unsigned x, y, z; };
struct Site { const char* file; int line; };
struct Rendezvous { int arrived = 0; uint64_t passed = 0; };
struct Slot { unsigned char bytes[16]; Site site; };

struct Thread {
  Context context;
  bool is_done = false;
  const Rendezvous* waits_for = nullptr;
  uint64_t waits_since = 0;
  uint64_t num_exchanges = 0;
  Site site{};
};

struct Machine {
  Position grid, group_size, group;
  Position local_size;  // of the current threadgroup, which may be cut by the grid's edge
  int num_threads, current = 0;
  int full_threads;  // of a threadgroup that is not cut
  int64_t group_index = 0;
  std::vector<Thread> threads;
  std::vector<Rendezvous> simdgroups;
  std::vector<Slot> slots;
  Rendezvous barrier;
  Context scheduler;
  std::string error;
  void (*body)(Array*);
  Array* arguments;
  char* stacks;
};

inline Machine* machine = nullptr;  // a process runs one grid at a time

inline std::string at(Site site) { return std::string(site.file) + ":" + std::to_string(site.line); }
[[noreturn]] inline void fail(const std::string& message) { throw std::runtime_error(message); }

inline int lane() { return machine->current % SIMD_WIDTH; }
inline int simdgroup() { return machine->current / SIMD_WIDTH; }
inline int simdgroup_lanes(int index) { return std::min(SIMD_WIDTH, machine->num_threads - index * SIMD_WIDTH); }
inline int64_t global_thread() { return machine->group_index * machine->full_threads + machine->current; }

inline void wait_for_all(Rendezvous& point, int expected, Site site) {
  Thread& self = machine->threads[machine->current];
  self.site = site;
  if (++point.arrived == expected) {
    point.arrived = 0;
    point.passed++;
    return;
  }
  self.waits_for = &point;
  self.waits_since = point.passed;
  switch_context(self.context, machine->scheduler);
  self.waits_for = nullptr;
}

inline void threadgroup_barrier(Site site) {
  static Site first;
  if (machine->barrier.arrived == 0) first = site;
  if (first.line != site.line) fail("divergent barrier: some threads wait at " + at(first) + ", others at " + at(site));
  wait_for_all(machine->barrier, machine->num_threads, site);
}

// Every lane of the simdgroup gives a value and sees all of them. Two buffers suffice: a lane can be
// one operation ahead of another, never two.
template <class T>
const Slot* exchange(T value, Site site) {
  static_assert(sizeof(T) <= sizeof(Slot::bytes), "value too wide for a simdgroup operation");
  const int group = simdgroup();
  Thread& self = machine->threads[machine->current];
  Slot* slots = &machine->slots[(size_t(group) * 2 + (self.num_exchanges++ & 1)) * SIMD_WIDTH];
  std::memcpy(slots[lane()].bytes, &value, sizeof(T));
  slots[lane()].site = site;
  wait_for_all(machine->simdgroups[group], simdgroup_lanes(group), site);
  for (int i = 0; i < simdgroup_lanes(group); i++) {
    if (slots[i].site.line != site.line) {
      fail("divergent simdgroup operation: lane " + std::to_string(lane()) + " is at " + at(site) + ", lane " +
           std::to_string(i) + " at " + at(slots[i].site));
    }
  }
  return slots;
}

template <class T>
T value_of(const Slot* slots, int index) {
  T value;
  std::memcpy(&value, slots[index].bytes, sizeof(T));
  return value;
}

inline void thread_main() {
  try {
    machine->body(machine->arguments);
  } catch (const std::exception& error) {
    const Position& group = machine->group;
    machine->error = std::string(error.what()) + " (thread " + std::to_string(machine->current) + " of threadgroup " +
                     std::to_string(group.x) + ", " + std::to_string(group.y) + ", " + std::to_string(group.z) + ")";
  }
  Thread& self = machine->threads[machine->current];
  self.is_done = true;
  switch_context(self.context, machine->scheduler);
}

inline void report_divergence() {
  std::string message = "divergent barrier:";
  std::vector<std::pair<std::string, int>> counts;
  for (const Thread& thread : machine->threads) {
    const std::string where = thread.is_done ? "returned" : "wait at " + at(thread.site);
    if (counts.empty() || counts.back().first != where) counts.push_back({where, 0});
    counts.back().second++;
  }
  int first = 0;
  for (const auto& count : counts) {
    message += (first ? ", threads " : " threads ") + std::to_string(first) + "-" +
               std::to_string(first + count.second - 1) + " " + count.first;
    first += count.second;
  }
  machine->error = message;
}

inline void run_threadgroup(int schedule, uint64_t& random) {
  Machine& m = *machine;
  m.barrier = Rendezvous();
  std::fill(m.simdgroups.begin(), m.simdgroups.end(), Rendezvous());
  std::vector<int> order(m.num_threads);
  for (int i = 0; i < m.num_threads; i++) {
    order[i] = schedule == 1 ? m.num_threads - 1 - i : i;
    m.threads[i] = Thread();
    prepare(m.threads[i].context, m.stacks + size_t(i) * STACK_BYTES, STACK_BYTES, thread_main);
  }
  int num_left = m.num_threads;
  while (num_left > 0 && m.error.empty()) {
    if (schedule == 2) {
      for (int i = m.num_threads - 1; i > 0; i--) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        std::swap(order[i], order[(random >> 33) % uint64_t(i + 1)]);
      }
    }
    bool has_moved = false;
    for (int i : order) {
      Thread& thread = m.threads[i];
      if (thread.is_done || (thread.waits_for && thread.waits_for->passed == thread.waits_since)) continue;
      has_moved = true;
      m.current = i;
      switch_context(m.scheduler, thread.context);
      num_left -= thread.is_done;
      if (!m.error.empty()) return;
    }
    if (!has_moved) report_divergence();
  }
}

// Schedules: 0 threads and threadgroups in order, 1 in reverse order, 2 threads in a random order.
// `threads` is the grid where its edge may cut threadgroups; without it all of them are whole.
inline std::string run_grid(Position groups, Position group_size, int schedule, void (*body)(Array*), Array* arguments,
                            Position threads = {0, 0, 0}) {
  Machine m;
  m.grid = groups;
  m.group_size = m.local_size = group_size;
  m.num_threads = m.full_threads = int(group_size.x * group_size.y * group_size.z);
  m.body = body;
  m.arguments = arguments;
  if (m.num_threads < 1 || m.num_threads > 1024) return "a threadgroup has 1 to 1024 threads, not " + std::to_string(m.num_threads);
  const int num_simdgroups = (m.num_threads + SIMD_WIDTH - 1) / SIMD_WIDTH;
  m.threads.resize(m.num_threads);
  m.simdgroups.resize(num_simdgroups);
  m.slots.resize(size_t(num_simdgroups) * 2 * SIMD_WIDTH);
  const size_t stack_bytes = STACK_BYTES * m.num_threads;
  void* stacks = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stacks == MAP_FAILED) return "no memory for the threads' stacks";
  m.stacks = static_cast<char*>(stacks);
  for (int i = 0; i < m.num_threads; i++) mprotect(m.stacks + size_t(i) * STACK_BYTES, 4096, PROT_NONE);  // overruns fault
  machine = &m;
  uint64_t random = 1;
  const int64_t total = int64_t(groups.x) * groups.y * groups.z;
  for (int64_t i = 0; i < total && m.error.empty(); i++) {
    m.group_index = schedule == 1 ? total - 1 - i : i;
    m.group = {unsigned(m.group_index % groups.x), unsigned(m.group_index / groups.x % groups.y),
               unsigned(m.group_index / (int64_t(groups.x) * groups.y))};
    if (threads.x > 0) {
      m.local_size = {std::min(group_size.x, threads.x - m.group.x * group_size.x),
                      std::min(group_size.y, threads.y - m.group.y * group_size.y),
                      std::min(group_size.z, threads.z - m.group.z * group_size.z)};
      m.num_threads = int(m.local_size.x * m.local_size.y * m.local_size.z);
    }
    run_threadgroup(schedule, random);
  }
  machine = nullptr;
  munmap(stacks, stack_bytes);
  return m.error;
}

}  // namespace emulator
