// The emulator's meaning of a Metal kernel function: its language, and where a thread is.
#pragma once
#include <limits>
#include "metal_math.h"

namespace emulator {

inline uint3 as_uint3(Position p) { return uint3(p.x, p.y, p.z); }
inline uint3 thread_position_in_threadgroup() {
  const uint current = uint(machine->current);
  const Position& size = machine->local_size;
  return uint3(current % size.x, current / size.x % size.y, current / (size.x * size.y));
}
inline uint3 threadgroup_position_in_grid() { return as_uint3(machine->group); }
inline uint3 threadgroups_per_grid() { return as_uint3(machine->grid); }
inline uint3 threads_per_threadgroup() { return as_uint3(machine->local_size); }
inline uint3 thread_position_in_grid() {
  return threadgroup_position_in_grid() * as_uint3(machine->group_size) + thread_position_in_threadgroup();
}
inline Position grid_threads;
inline uint3 threads_per_grid() { return as_uint3(grid_threads); }
inline uint thread_index_in_threadgroup() { return uint(machine->current); }
inline uint thread_index_in_simdgroup() { return uint(lane()); }
inline uint simdgroup_index_in_threadgroup() { return uint(simdgroup()); }
inline uint threads_per_simdgroup() { return SIMD_WIDTH; }
inline uint simdgroups_per_threadgroup() { return uint((machine->num_threads + SIMD_WIDTH - 1) / SIMD_WIDTH); }

}  // namespace emulator
