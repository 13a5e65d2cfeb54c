"""Makes the built-in world's weights again from nothing, or measures those that ship. See --help."""

from prefprior.world.build import main

if __name__ == "__main__":
    main()
