# A Debian package by `cmake --preset package && cmake --build build/package -t package`.  Included at the
# end of the top CMakeLists.txt.
if(CTL_PACKAGE)
    set(here ${CMAKE_CURRENT_LIST_DIR})
    set(out ${CMAKE_BINARY_DIR}/deb)
    set(doc ${CMAKE_INSTALL_DATADIR}/doc/containerd-lite)
    file(MAKE_DIRECTORY ${out})

    # Debian's version says "of this source, first packaging".
    file(WRITE ${out}/changelog "containerd-lite (${PROJECT_VERSION}-1) unstable; urgency=medium\n\n"
        "  * Release ${PROJECT_VERSION}.\n\n"
        " -- containerd-lite <team@containerd-lite.invalid>  Sat, 21 Nov 2026 12:00:00 +0000\n")
    execute_process(COMMAND gzip -9nc ${out}/changelog OUTPUT_FILE ${out}/changelog.Debian.gz
        COMMAND_ERROR_IS_FATAL ANY)
    install(FILES ${out}/changelog.Debian.gz ${here}/copyright DESTINATION ${doc})
    install(FILES ${here}/lintian-overrides DESTINATION ${CMAKE_INSTALL_DATADIR}/lintian/overrides
        RENAME containerd-lite)
    install(FILES ${here}/daemon.json DESTINATION ${CMAKE_INSTALL_FULL_SYSCONFDIR}/containerd-lite)

    set(CPACK_PACKAGE_VENDOR "containerd-lite")
    set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "small container engine with the Docker Engine API")
    set(CPACK_PACKAGE_CHECKSUM SHA256)
    set(CPACK_GENERATOR DEB)
    set(CPACK_SET_DESTDIR ON) # /etc is not below /usr
    set(CPACK_STRIP_FILES ON)
    set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
        GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
    set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
    set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
    set(CPACK_DEBIAN_PACKAGE_MAINTAINER "containerd-lite <team@containerd-lite.invalid>")
    set(CPACK_DEBIAN_PACKAGE_SECTION admin)
    set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
    set(CPACK_DEBIAN_PACKAGE_DEPENDS "systemd | systemd-standalone-sysusers, libcurl4") # it is loaded when needed
    set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "ca-certificates")
    set(CPACK_DEBIAN_PACKAGE_SUGGESTS "criu, docker-compose, docker.io, lxcfs")
    set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
    set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${here}/postinst ${here}/prerm ${here}/postrm ${here}/conffiles)
    set(CPACK_PACKAGE_DESCRIPTION
"One daemon of a few megabytes runs containers on this host: images and
registries, overlay layers, networks, limits, logs.  It speaks the Docker
Engine API on a Unix socket, so that the docker command, Compose and the
SDKs work with it; ctlc is its own client.  Containers go on when the daemon
stops, is upgraded or dies.")
    include(CPack)
endif()
