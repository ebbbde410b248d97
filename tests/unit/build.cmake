unit_test(dockerfile build)
unit_test(ignore common)
unit_test(weburl common)
