// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Lets a library that was linked on a new Linux load on an older one: references to the newest version of a
/// function of the C or C++ library are led to an older version of the same function. CMake passes
/// --wrap=<name> to the linker for every OLD and WRAP below (Manylinux.cmake reads them from here, one per
/// line), so that also objects that were compiled elsewhere, as the static CUDA runtime, are covered.
///
/// x86-64: there the oldest version of everything is GLIBC_2.2.5. The older mathematical functions differ in
/// how they set errno, which nobody here reads; the threads and the loader merely moved to another library.
#include <new>

// __wrap_<name> jumps to <name> in its older version. An unused one costs a jump of eight bytes.
#define OLD(name, version)                                                                     \
  __asm__(".symver sportcore_old_" #name "," #name "@" version "\n.text\n.globl __wrap_" #name \
          "\n.hidden __wrap_" #name "\n.type __wrap_" #name ",@function\n__wrap_" #name        \
          ":\n  jmp *sportcore_old_" #name                                                     \
          "@GOTPCREL(%rip)\n.size "                                                            \
          "__wrap_" #name ",.-__wrap_" #name);

// libm
OLD(exp, "GLIBC_2.2.5")
OLD(hypot, "GLIBC_2.2.5")
OLD(log, "GLIBC_2.2.5")
OLD(pow, "GLIBC_2.2.5")
// libpthread, as the C++ library uses it
OLD(pthread_create, "GLIBC_2.2.5")
OLD(pthread_join, "GLIBC_2.2.5")
OLD(pthread_key_create, "GLIBC_2.2.5")
OLD(pthread_key_delete, "GLIBC_2.2.5")
OLD(pthread_getspecific, "GLIBC_2.2.5")
OLD(pthread_setspecific, "GLIBC_2.2.5")
OLD(pthread_once, "GLIBC_2.2.5")
#if defined(SPORTCORE_WITH_CUDA) && SPORTCORE_WITH_CUDA
// libpthread, libdl and librt, as the static CUDA runtime uses them
OLD(dlclose, "GLIBC_2.2.5")
OLD(dlerror, "GLIBC_2.2.5")
OLD(dlmopen, "GLIBC_2.3.4")
OLD(dlopen, "GLIBC_2.2.5")
OLD(dlsym, "GLIBC_2.2.5")
OLD(dlvsym, "GLIBC_2.2.5")
OLD(pthread_condattr_setpshared, "GLIBC_2.2.5")
OLD(pthread_detach, "GLIBC_2.2.5")
OLD(pthread_kill, "GLIBC_2.2.5")
OLD(pthread_mutex_trylock, "GLIBC_2.2.5")
OLD(pthread_mutexattr_destroy, "GLIBC_2.2.5")
OLD(pthread_mutexattr_init, "GLIBC_2.2.5")
OLD(pthread_mutexattr_setpshared, "GLIBC_2.2.5")
OLD(pthread_mutexattr_settype, "GLIBC_2.2.5")
OLD(pthread_rwlock_destroy, "GLIBC_2.2.5")
OLD(pthread_rwlock_init, "GLIBC_2.2.5")
OLD(pthread_rwlock_rdlock, "GLIBC_2.2.5")
OLD(pthread_rwlock_timedrdlock, "GLIBC_2.2.5")
OLD(pthread_rwlock_timedwrlock, "GLIBC_2.2.5")
OLD(pthread_rwlock_tryrdlock, "GLIBC_2.2.5")
OLD(pthread_rwlock_trywrlock, "GLIBC_2.2.5")
OLD(pthread_rwlock_unlock, "GLIBC_2.2.5")
OLD(pthread_rwlock_wrlock, "GLIBC_2.2.5")
OLD(pthread_rwlockattr_destroy, "GLIBC_2.2.5")
OLD(pthread_rwlockattr_init, "GLIBC_2.2.5")
OLD(pthread_rwlockattr_setpshared, "GLIBC_2.2.5")
OLD(pthread_spin_destroy, "GLIBC_2.2.5")
OLD(pthread_spin_init, "GLIBC_2.2.5")
OLD(pthread_spin_lock, "GLIBC_2.2.5")
OLD(pthread_spin_trylock, "GLIBC_2.2.5")
OLD(pthread_spin_unlock, "GLIBC_2.2.5")
OLD(sem_destroy, "GLIBC_2.2.5")
OLD(sem_init, "GLIBC_2.2.5")
OLD(sem_post, "GLIBC_2.2.5")
OLD(sem_timedwait, "GLIBC_2.2.5")
OLD(sem_trywait, "GLIBC_2.2.5")
OLD(sem_wait, "GLIBC_2.2.5")
OLD(shm_open, "GLIBC_2.2.5")
OLD(shm_unlink, "GLIBC_2.2.5")
#endif

// <ext/atomicity.h> of GCC 11 and newer asks the C library (2.32) whether there is one thread only. "No" is
// always a right answer.
extern "C" __attribute__((visibility("hidden"))) char __libc_single_threaded;
char __libc_single_threaded = 0;

// What the C++ library has since GCC 11, made of what it had before. A member function is a function of
// `this`.
#define WRAP(name, ...) __attribute__((visibility("hidden"))) __VA_ARGS__ __asm__("__wrap_" #name);

WRAP(_ZSt28__throw_bad_array_new_lengthv, void throw_bad_array_new_length())
void throw_bad_array_new_length() { throw std::bad_array_new_length(); }

// std::exception_ptr: one pointer to an object that counts its users; its copy constructor and its destructor
void copy_exception(void* self, const void* other) __asm__("_ZNSt15__exception_ptr13exception_ptrC1ERKS0_");
void destroy_exception(void* self) __asm__("_ZNSt15__exception_ptr13exception_ptrD1Ev");

WRAP(_ZNSt15__exception_ptr13exception_ptr9_M_addrefEv, void add_user(void* self))
void add_user(void* self) {
  void* copy;  // is not destroyed: the count stays one higher
  copy_exception(&copy, self);
}

WRAP(_ZNSt15__exception_ptr13exception_ptr10_M_releaseEv, void remove_user(void* self))
void remove_user(void* self) {
  destroy_exception(self);
  *static_cast<void**>(self) = nullptr;
}
