# The image that a daemon with an empty store offers without any network, where the daemon looks
# for it both in the build tree and installed: ../share/containerd-lite/images beside its bin/.
find_program(BUSYBOX busybox REQUIRED PATHS /bin /usr/bin
    DOC "A static busybox, Debian's package busybox-static")
set(image_dir ${CMAKE_BINARY_DIR}/share/containerd-lite/images)
file(MAKE_DIRECTORY ${image_dir})
add_custom_command(
    OUTPUT ${image_dir}/busybox.tar
    COMMAND ${CMAKE_SOURCE_DIR}/cmake/busybox-image.sh ${BUSYBOX} ${image_dir}/busybox.tar
    DEPENDS ${CMAKE_SOURCE_DIR}/cmake/busybox-image.sh ${BUSYBOX}
    COMMENT "Making the image busybox:latest"
    VERBATIM)
add_custom_target(images ALL DEPENDS ${image_dir}/busybox.tar)
install(FILES ${image_dir}/busybox.tar DESTINATION ${CMAKE_INSTALL_DATADIR}/containerd-lite/images)
