foreach(module IN ITEMS http template options values ports mounts human mux tty refname inspect run tar)
    unit_test(client_${module} client)
endforeach()
