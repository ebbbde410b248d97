# The release: `cmake --build BUILD -t dist` writes BUILD/containerd-lite-VERSION.tar.gz, what the last commit
# holds.  The same commit makes the same archive.
set(release ${PROJECT_NAME}-${PROJECT_VERSION})
find_package(Git QUIET)
if(NOT EXISTS ${CMAKE_SOURCE_DIR}/.git)
    set(why "dist: ${CMAKE_SOURCE_DIR} is no git checkout, and a release is made of a commit.")
elseif(NOT Git_FOUND)
    set(why "dist: git is missing.")
endif()
if(why)
    add_custom_target(dist COMMAND ${CMAKE_COMMAND} -E echo ${why} COMMAND ${CMAKE_COMMAND} -E false VERBATIM)
else()
    # The checkout may be another user's: it is read only.
    set(git ${GIT_EXECUTABLE} -c safe.directory=${CMAKE_SOURCE_DIR} -C ${CMAKE_SOURCE_DIR})
    add_custom_target(dist
        COMMAND ${git} archive --format=tar.gz --prefix=${release}/ -o ${CMAKE_BINARY_DIR}/${release}.tar.gz HEAD
        COMMAND ${CMAKE_COMMAND} -E echo "${CMAKE_BINARY_DIR}/${release}.tar.gz; not in it is what follows here, if anything:"
        COMMAND ${git} status --short
        VERBATIM)
endif()
