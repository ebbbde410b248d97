# A program that needs a library beside it, which needs one below it: for what reads ELF files.
set(fixtures ${CMAKE_CURRENT_BINARY_DIR}/fixtures)
add_library(fixture_inner SHARED fixtures/inner.c)
set_target_properties(fixture_inner PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${fixtures}/deep)
add_library(fixture_outer SHARED fixtures/outer.c)
target_link_libraries(fixture_outer PRIVATE fixture_inner)
target_link_options(fixture_outer PRIVATE -Wl,--enable-new-dtags)
set_target_properties(fixture_outer PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${fixtures}
    BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN/deep")
foreach(kind IN ITEMS runpath rpath)
    add_executable(fixture_${kind} fixtures/program.c)
    target_link_libraries(fixture_${kind} PRIVATE fixture_outer)
    set_target_properties(fixture_${kind} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${fixtures}
        BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN")
endforeach()
target_link_options(fixture_runpath PRIVATE -Wl,--enable-new-dtags)
target_link_options(fixture_rpath PRIVATE -Wl,--disable-new-dtags)

unit_test(client_hosttree client)
target_compile_definitions(test_client_hosttree PRIVATE FIXTURES="${fixtures}")
add_dependencies(test_client_hosttree fixture_runpath fixture_rpath)
