dnl SPDX-License-Identifier: MIT
dnl tl_flags.m4 - the project's own compiler flags, kept apart from CFLAGS,
dnl which belong to whoever builds.

dnl TL_TRY_CFLAG(FLAG): appends FLAG to PROJECT_CFLAGS when the compiler knows it.
AC_DEFUN([TL_TRY_CFLAG], [
  tl_save=$CFLAGS
  CFLAGS="$CFLAGS -Werror $1"
  AC_MSG_CHECKING([whether $CC accepts $1])
  AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
    [AC_MSG_RESULT([yes]); PROJECT_CFLAGS="$PROJECT_CFLAGS $1"],
    [AC_MSG_RESULT([no])])
  CFLAGS=$tl_save
])

AC_DEFUN([TL_PROJECT_FLAGS], [
  PROJECT_CFLAGS="-std=gnu11 -fvisibility=hidden -fno-semantic-interposition"
  m4_foreach_w([flag], [-Wall -Wextra -Wshadow -Wstrict-prototypes
    -Wmissing-prototypes -Wpointer-arith -Wvla -Wno-unused-parameter
    -Wthread-safety], [TL_TRY_CFLAG(flag)])
  AC_SUBST([PROJECT_CFLAGS])
])

AC_DEFUN([TL_ENABLE_WERROR], [
  AC_ARG_ENABLE([werror],
    [AS_HELP_STRING([--enable-werror], [make warnings errors])],
    [tl_werror=$enableval], [tl_werror=no])
  AS_IF([test "x$tl_werror" = xyes],
    [PROJECT_CFLAGS="$PROJECT_CFLAGS -Werror"])
])

AC_DEFUN([TL_ENABLE_SANITIZE], [
  AC_ARG_ENABLE([sanitize],
    [AS_HELP_STRING([--enable-sanitize=LIST],
      [build with sanitizers: address,undefined or thread])],
    [tl_sanitize=$enableval], [tl_sanitize=no])
  AS_IF([test "x$tl_sanitize" != xno], [
    PROJECT_CFLAGS="$PROJECT_CFLAGS -fsanitize=$tl_sanitize -fno-omit-frame-pointer -fno-sanitize-recover=undefined"
    PROJECT_LDFLAGS="$PROJECT_LDFLAGS -fsanitize=$tl_sanitize"
    AS_CASE([$tl_sanitize], [*thread*], [TL_TRY_CFLAG([-Wno-tsan])])
  ])
  AC_SUBST([PROJECT_LDFLAGS])
  AM_CONDITIONAL([SANITIZED], [test "x$tl_sanitize" != xno])
])

AC_DEFUN([TL_ENABLE_COVERAGE], [
  AC_ARG_ENABLE([coverage],
    [AS_HELP_STRING([--enable-coverage], [build for gcov])],
    [tl_coverage=$enableval], [tl_coverage=no])
  AS_IF([test "x$tl_coverage" = xyes], [
    PROJECT_CFLAGS="$PROJECT_CFLAGS --coverage -O0"
    PROJECT_LDFLAGS="$PROJECT_LDFLAGS --coverage"
  ])
])
