unit_test(reference image)
unit_test(changes image)
unit_test(images image)
unit_test(tarball image)
