unit_test(runtime runtime)
unit_test(validate runtime)
unit_test(filter runtime)
