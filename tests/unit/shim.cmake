foreach(module IN ITEMS plan jsonlog shim_mount shim_user shim_detach shim_spill)
    unit_test(${module} shim_parts)
endforeach()
