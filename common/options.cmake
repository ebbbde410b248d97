# The language, the warnings and the sanitizers, once for every target.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

option(CTL_WERROR "Treat warnings as errors" OFF)
option(CTL_PACKAGE "Install what belongs into a Debian package, too" OFF)
set(CTL_SANITIZE "" CACHE STRING "Sanitizers for the daemon, client and tests (address,undefined)")

add_compile_definitions(_GNU_SOURCE CTL_VERSION="${PROJECT_VERSION}")
add_compile_options(-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
    -Wpointer-arith -Wformat=2 -Wvla -Wundef -fno-strict-aliasing -fno-common)
# These are never only warnings: the caller and the callee would not agree.
add_compile_options(-Werror=implicit-function-declaration -Werror=int-conversion
    -Werror=incompatible-pointer-types -Werror=return-type)
if(CTL_WERROR)
    add_compile_options(-Werror)
endif()

# Each folder is its own include path for #include "..." only, so that no header of ours can ever
# stand in for one of the system's.
function(quote_includes target scope)
    target_compile_options(${target} ${scope} "SHELL:-iquote ${CMAKE_CURRENT_SOURCE_DIR}")
endfunction()

# folder_library(NAME [dependencies...]): the static library of the calling folder, made of all
# its .c files, included from other folders as "NAME/file.h" never; each folder is its own include path.
function(folder_library name)
    file(GLOB sources CONFIGURE_DEPENDS *.c)
    add_library(${name} STATIC ${sources})
    quote_includes(${name} PUBLIC)
    target_link_libraries(${name} PUBLIC ${ARGN})
    sanitize(${name})
endfunction()

# The static shim stays uninstrumented: the sanitizers' run-time is not async-signal-safe after
# clone(2) and cannot be linked statically.
function(sanitize target)
    if(CTL_SANITIZE)
        target_compile_options(${target} PUBLIC -fsanitize=${CTL_SANITIZE} -fno-omit-frame-pointer
            -fno-sanitize-recover=undefined)
        target_link_options(${target} PUBLIC -fsanitize=${CTL_SANITIZE})
    endif()
endfunction()
