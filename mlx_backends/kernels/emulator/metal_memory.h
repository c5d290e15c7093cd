// Memory as a user's Metal text sees it: pointers with an address space, checked at every access.
#pragma once
#include "bfloat16.h"
#include "memory.h"

namespace emulator {

// An array of the caller, in items of the type that the signature names.
struct Buffer {
  const char* name;
  int64_t item_bytes;
  bool is_output;
  char* data = nullptr;
  int64_t count = 0;
  int32_t* writers = nullptr;  // thread + 1 that wrote each item of an output
  uint32_t* epochs = nullptr;  // barriers of device memory that its threadgroup had passed by then
  bool has_values = false;     // whether items hold something before they are written
};

// Barriers of device memory that the current threadgroup has passed.
struct DeviceEpoch { int64_t group = -1; uint32_t passed = 0; };
inline DeviceEpoch epoch;
inline uint32_t device_epoch() { return epoch.group == machine->group_index ? epoch.passed : 0; }
inline void pass_device_barrier() { epoch = {machine->group_index, uint32_t(machine->barrier.passed)}; }

inline std::string item(const Buffer& buffer, int64_t index) { return std::string(buffer.name) + "[" + std::to_string(index) + "]"; }

inline void check_range(const Buffer& buffer, int64_t byte, int64_t size, const char* verb) {
  if (byte >= 0 && byte + size <= buffer.count * buffer.item_bytes) return;
  const int64_t index = byte < 0 ? (byte - buffer.item_bytes + 1) / buffer.item_bytes : (byte + size - 1) / buffer.item_bytes;
  fail(std::string("out-of-bounds ") + verb + " of " + item(buffer, index) + ", which has " + std::to_string(buffer.count) + " elements");
}

// Threads of one threadgroup see each other's writes after a barrier of device memory, others never.
inline void check_order(const Buffer& buffer, int64_t index, const char* verb) {
  const int64_t writer = buffer.writers[index];
  if (writer == 0 || writer == global_thread() + 1) return;
  const int64_t group = (writer - 1) / machine->full_threads;
  if (group == machine->group_index && buffer.epochs[index] < device_epoch()) return;
  fail("race on " + item(buffer, index) + ": written by thread " + std::to_string((writer - 1) % machine->full_threads) +
       " of threadgroup " + std::to_string(group) + " and " + verb + " by another");
}

inline void check_load(const Buffer& buffer, int64_t byte, int64_t size) {
  check_range(buffer, byte, size, "read");
  if (!buffer.writers) return;
  for (int64_t i = byte / buffer.item_bytes; i * buffer.item_bytes < byte + size; i++) {
    if (!buffer.has_values && buffer.writers[i] == 0) fail("read of " + item(buffer, i) + ", which no thread has written");
    check_order(buffer, i, "read");
  }
}

inline void check_store(const Buffer& buffer, int64_t byte, int64_t size) {
  check_range(buffer, byte, size, "write");
  if (!buffer.writers) fail("write to the input " + item(buffer, byte / buffer.item_bytes));
  for (int64_t i = byte / buffer.item_bytes; i * buffer.item_bytes < byte + size; i++) {
    check_order(buffer, i, "written");
    buffer.writers[i] = int32_t(global_thread() + 1);
    buffer.epochs[i] = device_epoch();
  }
}

struct CellTag {};

// A place that reads and writes through the checks of its owner.
template <class Place>
struct Cell : CellTag {
  using Value = typename Place::Value;
  Place place;
  explicit Cell(Place place) : place(place) {}
  Cell(const Cell&) = default;
  operator Value() const { return place.load(); }
  const Cell& operator=(const Cell& other) const { place.store(other.place.load()); return *this; }
  template <class V> const Cell& operator=(const V& value) const { place.store(Value(value)); return *this; }
  template <class V> const Cell& operator+=(const V& v) const { place.store(Value(place.load() + v)); return *this; }
  template <class V> const Cell& operator-=(const V& v) const { place.store(Value(place.load() - v)); return *this; }
  template <class V> const Cell& operator*=(const V& v) const { place.store(Value(place.load() * v)); return *this; }
  template <class V> const Cell& operator/=(const V& v) const { place.store(Value(place.load() / v)); return *this; }
  template <class V> const Cell& operator%=(const V& v) const { place.store(Value(place.load() % v)); return *this; }
  template <class V> const Cell& operator&=(const V& v) const { place.store(Value(place.load() & v)); return *this; }
  template <class V> const Cell& operator|=(const V& v) const { place.store(Value(place.load() | v)); return *this; }
  template <class V> const Cell& operator^=(const V& v) const { place.store(Value(place.load() ^ v)); return *this; }
  template <class V> const Cell& operator<<=(const V& v) const { place.store(Value(place.load() << v)); return *this; }
  template <class V> const Cell& operator>>=(const V& v) const { place.store(Value(place.load() >> v)); return *this; }
  Value operator++() const { const Value v = Value(place.load() + 1); place.store(v); return v; }
  Value operator--() const { const Value v = Value(place.load() - 1); place.store(v); return v; }
  Value operator++(int) const { const Value v = place.load(); place.store(Value(v + 1)); return v; }
  Value operator--(int) const { const Value v = place.load(); place.store(Value(v - 1)); return v; }
};

template <class T> T plain_value(const T& value, const void*) { return value; }
template <class C> typename C::Value plain_value(const C& cell, const CellTag*) { return cell.place.load(); }
template <class T> auto plain(const T& value) { return plain_value(value, &value); }
template <class T> using Plain = decltype(plain(std::declval<const T&>()));

template <class T>
struct DevicePlace {
  using Value = T;
  const Buffer* buffer;
  int64_t byte;
  T load() const {
    check_load(*buffer, byte, sizeof(T));
    T value;
    std::memcpy(&value, buffer->data + byte, sizeof(T));
    return value;
  }
  void store(T value) const {
    check_store(*buffer, byte, sizeof(T));
    std::memcpy(buffer->data + byte, &value, sizeof(T));
  }
};

// `device T*` and `constant T*`.
template <class T>
struct Pointer {
  using Value = std::remove_const_t<T>;
  const Buffer* buffer = nullptr;
  int64_t byte = 0;

  Pointer() = default;
  Pointer(const Buffer* buffer, int64_t byte) : buffer(buffer), byte(byte) {}
  template <class U, class = std::enable_if_t<std::is_same_v<const U, T>>>
  Pointer(Pointer<U> other) : buffer(other.buffer), byte(other.byte) {}
  template <class U, class = std::enable_if_t<!std::is_same_v<const U, T> && (std::is_const_v<T> || !std::is_const_v<U>)>, class = void>
  explicit Pointer(Pointer<U> other) : buffer(other.buffer), byte(other.byte) {}

  auto operator[](int64_t index) const {
    if (!buffer) fail("use of a device pointer that points nowhere");
    const DevicePlace<Value> place{buffer, byte + index * int64_t(sizeof(Value))};
    if (place.byte % int64_t(sizeof(Value)) != 0) fail("misaligned access of " + item(*buffer, place.byte / buffer->item_bytes));
    if constexpr (std::is_const_v<T>) return place.load();
    else return Cell<DevicePlace<Value>>(place);
  }
  auto operator*() const { return (*this)[0]; }
  Pointer operator+(int64_t n) const { return {buffer, byte + n * int64_t(sizeof(Value))}; }
  Pointer operator-(int64_t n) const { return *this + -n; }
  Pointer& operator+=(int64_t n) { return *this = *this + n; }
  Pointer& operator-=(int64_t n) { return *this = *this - n; }
  Pointer& operator++() { return *this += 1; }
  Pointer& operator--() { return *this -= 1; }
  Pointer operator++(int) { const Pointer old = *this; *this += 1; return old; }
  Pointer operator--(int) { const Pointer old = *this; *this -= 1; return old; }
  template <class U> int64_t operator-(const Pointer<U>& other) const { return (byte - other.byte) / int64_t(sizeof(Value)); }
  template <class U> bool operator<(const Pointer<U>& other) const { return byte < other.byte; }
  template <class U> bool operator>(const Pointer<U>& other) const { return byte > other.byte; }
  template <class U> bool operator<=(const Pointer<U>& other) const { return byte <= other.byte; }
  template <class U> bool operator>=(const Pointer<U>& other) const { return byte >= other.byte; }
  template <class U> bool operator==(const Pointer<U>& other) const { return byte == other.byte && buffer == other.buffer; }
  template <class U> bool operator!=(const Pointer<U>& other) const { return !(*this == other); }
};
template <class T> Pointer<T> operator+(int64_t n, Pointer<T> pointer) { return pointer + n; }

// What threadgroup pointers need of an array of any size.
template <class T>
struct Shared {
  virtual T load(int64_t index) = 0;
  virtual void store(int64_t index, T value) = 0;
};

template <class T>
struct SharedPlace {
  using Value = T;
  Shared<T>* array;
  int64_t index;
  T load() const { return array->load(index); }
  void store(T value) const { array->store(index, value); }
};

// `threadgroup T*`.
template <class T>
struct ThreadgroupPointer {
  using Value = std::remove_const_t<T>;
  Shared<Value>* array = nullptr;
  int64_t index = 0;
  ThreadgroupPointer() = default;
  ThreadgroupPointer(Shared<Value>* array, int64_t index) : array(array), index(index) {}
  template <class U, class = std::enable_if_t<std::is_same_v<const U, T>>>
  ThreadgroupPointer(ThreadgroupPointer<U> other) : array(other.array), index(other.index) {}
  auto operator[](int64_t n) const {
    if (!array) fail("use of a threadgroup pointer that points nowhere");
    if constexpr (std::is_const_v<T>) return array->load(index + n);
    else return Cell<SharedPlace<Value>>(SharedPlace<Value>{array, index + n});
  }
  auto operator*() const { return (*this)[0]; }
  ThreadgroupPointer operator+(int64_t n) const { return {array, index + n}; }
  ThreadgroupPointer operator-(int64_t n) const { return {array, index - n}; }
  ThreadgroupPointer& operator+=(int64_t n) { index += n; return *this; }
  ThreadgroupPointer& operator-=(int64_t n) { index -= n; return *this; }
  ThreadgroupPointer& operator++() { index++; return *this; }
  ThreadgroupPointer operator++(int) { const ThreadgroupPointer old = *this; index++; return old; }
};

template <class T, int N>
struct SharedArray : Shared<T> {
  ThreadgroupArray<T, N> values;
  explicit SharedArray(const char* name) : values(name) {}
  T load(int64_t index) override { return values.read(index); }
  void store(int64_t index, T value) override { values.write(index, value); }
  Cell<SharedPlace<T>> operator[](int64_t index) { return Cell<SharedPlace<T>>(SharedPlace<T>{this, index}); }
  Cell<SharedPlace<T>> operator*() { return (*this)[0]; }
  ThreadgroupPointer<T> operator+(int64_t n) { return {this, n}; }
  ThreadgroupPointer<T> operator&() { return {this, 0}; }
  operator ThreadgroupPointer<T>() { return {this, 0}; }
  operator ThreadgroupPointer<const T>() { return {this, 0}; }
};

template <class T, int N, int M>
struct SharedMatrix : SharedArray<T, N * M> {
  using SharedArray<T, N * M>::SharedArray;
  struct Row {
    SharedMatrix* matrix;
    int64_t row;
    Cell<SharedPlace<T>> operator[](int64_t column) const {
      if (row < 0 || row >= N || column < 0 || column >= M) {
        fail(std::string("out-of-bounds access of ") + matrix->values.name + "[" + std::to_string(row) + "][" + std::to_string(column) +
             "], which has " + std::to_string(N) + " x " + std::to_string(M) + " elements");
      }
      return Cell<SharedPlace<T>>(SharedPlace<T>{matrix, row * M + column});
    }
  };
  Row operator[](int64_t row) { return {this, row}; }
};

template <class To, class From> To cast(From from) { return To(from); }

}  // namespace emulator

#define THREADGROUP_ARRAY(type, name, count) static emulator::SharedArray<type, int(count)> name(#name)
#define THREADGROUP_MATRIX(type, name, rows, columns) static emulator::SharedMatrix<type, int(rows), int(columns)> name(#name)
#define THREADGROUP_SCALAR(type, name)                     \
  static emulator::SharedArray<type, 1> name##_array(#name); \
  const auto name = name##_array[0]
