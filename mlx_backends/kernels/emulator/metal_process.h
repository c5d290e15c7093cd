// The program around one user's kernel: maps the arrays, runs the grid, and tells what went wrong.
//
// Arguments: descriptor of the shared file, bytes of it, milliseconds of processor time, schedule,
// threads of the grid (3), threads of a threadgroup (3), then offset and count of each buffer and
// whether outputs hold values. The file begins with MESSAGE_BYTES for the message.
#pragma once
#include <csignal>
#include <cstdlib>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>
#include "metal.h"

namespace emulator {

constexpr size_t MESSAGE_BYTES = 2048;
inline char* shared_message = nullptr;
inline char signal_stack[64 << 10];

[[noreturn]] inline void stop(const char* message) {
  std::strncpy(shared_message, message, MESSAGE_BYTES - 1);
  _exit(1);
}

inline std::string where() {
  if (!machine) return "";
  const Position& group = machine->group;
  return "thread " + std::to_string(machine->current) + " of threadgroup " + std::to_string(group.x) + ", " + std::to_string(group.y) +
         ", " + std::to_string(group.z);
}

// On a stack of its own; the program ends here, so that what the handler calls need not be safe to
// interrupt, but for a lock that the interrupted code holds: the parent has a limit of its own.
inline void on_signal(int number, siginfo_t* info, void*) {
  std::string message;
  switch (number) {
    case SIGVTALRM:
      message = where() + " was still running when the time was up: a loop does not end, or time_limit_s is too short";
      break;
    case SIGFPE:
      message = "division of an integer by zero, or its overflow, in " + where();
      break;
    case SIGSEGV:
    case SIGBUS: {
      const char* address = static_cast<const char*>(info->si_addr);
      const bool is_stack = machine && address >= machine->stacks && address < machine->stacks + STACK_BYTES * machine->full_threads;
      message = is_stack ? where() + " ran out of its stack: recursion without an end, or local arrays of more than " +
                               std::to_string(STACK_BYTES >> 10) + " KiB"
                         : where() + " touched memory that is nobody's: a wild pointer, or an index outside of a local array";
      break;
    }
    default:
      message = where() + " crashed with signal " + std::to_string(number);
  }
  stop(message.c_str());
}

inline void watch(long milliseconds) {
  stack_t stack{};
  stack.ss_sp = signal_stack;
  stack.ss_size = sizeof(signal_stack);
  sigaltstack(&stack, nullptr);
  struct sigaction action{};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (int number : {SIGVTALRM, SIGFPE, SIGSEGV, SIGBUS, SIGILL, SIGABRT}) sigaction(number, &action, nullptr);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  setrlimit(RLIMIT_FSIZE, &none);
  itimerval timer{};
  timer.it_value = {milliseconds / 1000, milliseconds % 1000 * 1000};
  setitimer(ITIMER_VIRTUAL, &timer, nullptr);
}

inline std::string unwritten(const Buffer* buffers, int count) {
  for (int i = 0; i < count; i++) {
    const Buffer& buffer = buffers[i];
    if (!buffer.writers || buffer.has_values) continue;
    int64_t first = -1, missing = 0;
    for (int64_t j = 0; j < buffer.count; j++) {
      if (buffer.writers[j]) continue;
      if (first < 0) first = j;
      missing++;
    }
    if (missing) {
      return "unwritten output " + item(buffer, first) + ", and " + std::to_string(missing - 1) + " more of " +
             std::to_string(buffer.count) + " elements: a larger grid, or init_value=, fills them";
    }
  }
  return "";
}

inline int run_process(int argc, char** argv, Buffer* buffers, int num_buffers, void (*body)(Array*)) {
  long values[64] = {};
  for (int i = 1; i < argc && i < 64; i++) values[i - 1] = std::strtol(argv[i], nullptr, 10);
  const size_t bytes = size_t(values[1]);
  char* memory = static_cast<char*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, int(values[0]), 0));
  if (memory == MAP_FAILED) return 3;
  shared_message = memory;
  const Position grid{unsigned(values[4]), unsigned(values[5]), unsigned(values[6])};
  const Position group{unsigned(values[7]), unsigned(values[8]), unsigned(values[9])};
  for (int i = 0; i < num_buffers; i++) {
    Buffer& buffer = buffers[i];
    buffer.data = memory + values[11 + 2 * i];
    buffer.count = values[12 + 2 * i];
    buffer.has_values = values[10] != 0;
    if (!buffer.is_output) continue;
    buffer.writers = static_cast<int32_t*>(std::calloc(size_t(buffer.count) + 1, sizeof(int32_t)));
    buffer.epochs = static_cast<uint32_t*>(std::calloc(size_t(buffer.count) + 1, sizeof(uint32_t)));
    if (!buffer.writers || !buffer.epochs) stop("no memory to keep track of the outputs");
  }
  watch(values[2]);
  grid_threads = grid;
  const auto blocks = [](unsigned n, unsigned size) { return (n + size - 1) / size; };
  const Position groups{blocks(grid.x, group.x), blocks(grid.y, group.y), blocks(grid.z, group.z)};
  std::string error = run_grid(groups, group, int(values[3]), body, nullptr, grid);
  if (error.empty()) error = unwritten(buffers, num_buffers);
  if (!error.empty()) stop(error.c_str());
  return 0;
}

}  // namespace emulator

extern "C" {
struct UbsanLocation { const char* file; uint32_t line, column; };
struct UbsanOutOfBounds { UbsanLocation location; };
[[noreturn]] void __ubsan_handle_out_of_bounds_abort(UbsanOutOfBounds* data, void* index) {
  const std::string message = "index " + std::to_string(int64_t(intptr_t(index))) + " lies outside of a local array, at " +
                              data->location.file + ":" + std::to_string(data->location.line) + " (" + emulator::where() + ")";
  emulator::stop(message.c_str());
}
}
