unit_test(registry registry)
unit_test(registry_manifest image)
