// Memory that checks every access: device arrays by name and index, threadgroup memory also for races.
#pragma once
#include <type_traits>
#include "lockstep.h"

namespace emulator {

struct Array {
  const char* name;
  char* data;
  int64_t size;       // elements from `data` to the last one that the strides reach
  int64_t item_bytes;
  int32_t* writers;   // thread + 1 that wrote each element; null where the kernel may not write
  const int* shape;
  const int64_t* strides;
};

inline std::string element(const Array& array, int64_t index) { return std::string(array.name) + "[" + std::to_string(index) + "]"; }

inline void check_bounds(const Array& array, int64_t index, int64_t count, const char* verb) {
  if (index < 0 || index + count > array.size) {
    fail(std::string("out-of-bounds ") + verb + " of " + element(array, index < 0 ? index : index + count - 1) +
         ", which has " + std::to_string(array.size) + " elements");
  }
}

// A launch orders nothing between its threads in device memory, so none may read or overwrite what
// another wrote.
inline void check_writer(const Array& array, int64_t index, const char* verb) {
  const int32_t writer = array.writers[index];
  if (writer != 0 && writer != int32_t(global_thread() + 1)) {
    fail("race on " + element(array, index) + ": written by thread " + std::to_string((writer - 1) % machine->full_threads) +
         " of threadgroup " + std::to_string((writer - 1) / machine->full_threads) + " and " + verb + " by another");
  }
}

inline void check_read(const Array& array, int64_t index, int64_t count) {
  check_bounds(array, index, count, "read");
  if (array.writers) {
    for (int64_t i = index; i < index + count; i++) check_writer(array, i, "read");
  }
}

inline void check_write(const Array& array, int64_t index) {
  check_bounds(array, index, 1, "write");
  if (!array.writers) fail("write to the input " + element(array, index) + ", which is not declared as in place");
  check_writer(array, index, "written");
  array.writers[index] = int32_t(global_thread() + 1);
}

template <class T>
struct DevicePointer {
  using Value = std::remove_const_t<T>;
  const Array* array;
  int64_t index;

  struct Reference {
    const Array* array;
    int64_t index;
    template <class V>
    const Reference& operator=(V value) const {
      check_write(*array, index);
      reinterpret_cast<Value*>(array->data)[index] = Value(value);
      return *this;
    }
  };

  auto operator[](int64_t offset) const {
    if constexpr (std::is_const_v<T>) {
      check_read(*array, index + offset, 1);
      return reinterpret_cast<Value*>(array->data)[index + offset];
    } else {
      return Reference{array, index + offset};
    }
  }
  DevicePointer operator+(int64_t offset) const { return {array, index + offset}; }
};

template <class T>
DevicePointer<T> writable(DevicePointer<const T> pointer) { return {pointer.array, pointer.index}; }

// One load of sizeof(Wide) bytes, which must lie at a multiple of its size from the array's start.
template <class Wide, class T>
Wide load_wide(DevicePointer<T> pointer) {
  constexpr int64_t count = sizeof(Wide) / sizeof(T);
  check_read(*pointer.array, pointer.index, count);
  if (pointer.index % count != 0) fail("misaligned wide read of " + element(*pointer.array, pointer.index));
  Wide value;
  std::memcpy(&value, pointer.array->data + pointer.index * int64_t(sizeof(T)), sizeof(Wide));
  return value;
}

// What the current threadgroup did to one element since its last barrier.
struct History {
  int64_t group = -1;  // threadgroup that wrote the element, whose value others do not see
  uint64_t write_epoch = 0, read_epoch = 0;
  int writer = -1, reader = -1;
  bool has_many_readers = false;
};

inline size_t threadgroup_bytes = 0;

template <class T, int N>
struct ThreadgroupArray {
  const char* name;
  T values[N];
  History histories[N];

  explicit ThreadgroupArray(const char* name) : name(name) {
    threadgroup_bytes += sizeof(values);
    if (threadgroup_bytes > MAX_THREADGROUP_BYTES) fail("more than 32 KiB of threadgroup memory, at " + std::string(name));
  }

  struct Reference {
    ThreadgroupArray* array;
    int64_t index;
    operator T() const { return array->read(index); }
    const Reference& operator=(T value) const {
      array->write(index, value);
      return *this;
    }
  };
  Reference operator[](int64_t index) { return {this, index}; }

  std::string place(int64_t index) const { return std::string(name) + "[" + std::to_string(index) + "]"; }

  History& history(int64_t index, const char* verb) {
    if (index < 0 || index >= N) {
      fail(std::string("out-of-bounds ") + verb + " of " + place(index) + ", which has " + std::to_string(N) + " elements");
    }
    return histories[index];
  }

  void refuse(int64_t index, int first, const char* done, const char* doing) const {
    fail("race on " + place(index) + ": " + done + " by thread " + std::to_string(first) + " and " + doing +
         " by thread " + std::to_string(machine->current) + " with no barrier between");
  }

  T read(int64_t index) {
    History& h = history(index, "read");
    if (h.group != machine->group_index) fail("read of " + place(index) + ", which no thread has written");
    const uint64_t epoch = machine->barrier.passed;
    if (h.write_epoch == epoch && h.writer != machine->current) refuse(index, h.writer, "written", "read");
    h.has_many_readers = h.read_epoch == epoch && h.reader >= 0 && (h.has_many_readers || h.reader != machine->current);
    h.read_epoch = epoch;
    h.reader = machine->current;
    return values[index];
  }

  void write(int64_t index, T value) {
    History& h = history(index, "write");
    const uint64_t epoch = machine->barrier.passed;
    if (h.group == machine->group_index) {
      if (h.write_epoch == epoch && h.writer != machine->current) refuse(index, h.writer, "written", "written");
      const bool is_read = h.reader >= 0 && h.read_epoch == epoch;
      if (is_read && (h.has_many_readers || h.reader != machine->current)) refuse(index, h.reader, "read", "written");
    } else {
      h = History();
      h.group = machine->group_index;
    }
    h.write_epoch = epoch;
    h.writer = machine->current;
    values[index] = value;
  }
};

}  // namespace emulator
