unit_test(dockerfile build)
