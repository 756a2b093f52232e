"""Every field of a training run, documented once; the other files state only what differs.

Fields that the original system does not document are listed in `assumed`, and printed at start.
"""

from ml_collections import ConfigDict, config_dict


def stage(**changes) -> ConfigDict:
    """One stage of training; stages follow each other and share the optimiser's state."""
    config = ConfigDict()
    # `all`, or `head`: the backbone is frozen.
    config.trainable = "all"
    # Length in passes over the data, fractions too; 0: it is given in steps.
    config.epochs = 0.0
    # Length in optimiser steps; 0: it is given in epochs.
    config.steps = 0
    # Of the whole stage, or the highest, where the schedule or the warm-up changes it.
    config.learning_rate = 1e-4
    # `constant`; `cosine` or `linear`: falls to zero at the end of the stage; `step`: is multiplied
    # by `step_factor` at each of the shares `step_at` of the stage.
    config.schedule = "constant"
    # Shares of the stage at which the schedule `step` multiplies the learning rate.
    config.step_at = (0.5, 0.75)
    # What the schedule `step` multiplies it by.
    config.step_factor = 0.1
    # Steps of linear warm-up from zero at the start of the stage.
    config.warmup_steps = 0
    config.update(changes)
    return config


def get_config() -> ConfigDict:
    """The defaults: the original's recipe for ViT-B/16 at 384 pixels."""
    config = ConfigDict()

    # Everything random is a function of it: initial weights, order of the data, dropout,
    # augmentation.
    config.seed = 0
    # Weights to start from: an .npz or Keras file, the workdir of another run, a Hugging Face
    # folder, or the name of a public checkpoint, which is fetched; empty: from scratch.
    config.init_from = ""
    # `fresh`: a new head; `keep`: the head of those weights too, whose classes must be these.
    config.init_head = "fresh"
    # Height and width that an .npz file's positions are for, where they are not a square grid.
    config.init_image_size = ()
    # Names of fields whose values the original does not document.
    config.assumed = ()

    config.model = ConfigDict()
    # Sizes by name: Ti/16, S/16, S/32, B/16, B/32, L/16, L/32, H/14, g/14; or empty, and the five
    # fields below, which take precedence where they are set.
    config.model.variant = "B/16"
    # Height and width of a patch in pixels.
    config.model.patch_size = config_dict.placeholder(int)
    # Width of the tokens.
    config.model.hidden_size = config_dict.placeholder(int)
    # Number of blocks.
    config.model.num_layers = config_dict.placeholder(int)
    # Attention heads of each block.
    config.model.num_heads = config_dict.placeholder(int)
    # Width of the MLP within each block.
    config.model.mlp_size = config_dict.placeholder(int)
    # Height and width in pixels.
    config.model.image_size = (384, 384)
    # GELU in the blocks: `tanh` as in Google's Flax models, `exact` as in vit-keras.
    config.model.gelu = "tanh"
    # Added to the variance in layer norms.
    config.model.layer_norm_epsilon = 1e-6
    # Dropout after attention and in the MLP of each block.
    config.model.dropout = 0.1
    # Probability with which a photo skips the branches of the last block while training; it grows
    # linearly from 0 at the first block.
    config.model.stochastic_depth = 0.0
    # Whether there is a class token; big_vision's and SigLIP's models have none.
    config.model.class_token = True
    # `cls`: the class token; `mean` of the patch tokens; `map`: attention pooling.
    config.model.pooling = "cls"
    # Width of the Dense layer before the output layer; 0: a linear head.
    config.model.head_hidden = 32
    # What pixel values 0 and 255 become.
    config.model.input_range = (-1.0, 1.0)
    # `exact`: the original's pixels, float32; `uint8`: a quarter of the transfer.
    config.model.pixel_mode = "uint8"
    # Type of the computation: `float32` or `bfloat16`; parameters are float32.
    config.model.dtype = "float32"
    # Factors on the probabilities, as the original's k-fold models have them; empty: none.
    config.model.output_mask = ()

    # How it is computed; none of it changes what the weights mean.
    config.execution = ConfigDict()
    # `xla`, `cudnn` (NVIDIA GPUs and bfloat16), or `auto`: cudnn where it works.
    config.execution.attention = "auto"
    # What the backward pass computes again to save memory: `none`; `dots`: all but matrix products;
    # `blocks`: everything within a block.
    config.execution.remat = "none"
    # Blocks as a compiled loop: compiles faster, holds one more copy of their parameters.
    config.execution.scan = False

    config.data = ConfigDict()
    # Dataset folder, or a dataset's name below data_dir, or a table or folder of photos.
    config.data.train = ""
    # Its split to train on.
    config.data.train_split = "train"
    # What to validate on, as `train`; empty: the same dataset.
    config.data.validation = ""
    # Its split to validate on.
    config.data.validation_split = "validation"
    # Where datasets are found by name.
    config.data.data_dir = "runs/data"
    # Which label is the target: `teacher_label`, or `human_label` for supervised training. The
    # other never leaves the dataset; validation and selection use this one too.
    config.data.label = "teacher_label"
    # Photos of a step, all devices of all processes together.
    config.data.batch_size = 32
    # Whether the order changes from epoch to epoch, by the seed; False: as in the dataset.
    config.data.shuffle = True
    # An unreadable photo: `fail`, or `skip` it, counted and listed.
    config.data.on_error = "fail"
    # Decoding threads; -1: one for each core.
    config.data.num_threads = -1
    # Decoding processes; 0: threads alone.
    config.data.num_workers = 0

    # Of training photos, on the devices, in this order; all of it is off here.
    config.augment = ConfigDict()
    # Crops to a random box and resizes it to the whole: its share of the area, uniform from low to
    # high; (1, 1) for both fields: no crop. Usual: (0.08, 1).
    config.augment.crop_area = (1.0, 1.0)
    # Width / height of the box to crop to, in pixels of the resized photo, log-uniform. Usual:
    # (0.75, 1.33).
    config.augment.crop_ratio = (1.0, 1.0)
    # Probability to mirror left and right.
    config.augment.flip = 0.0
    # Multiplies the brightness by a factor that is uniform in [1 - s, 1 + s].
    config.augment.brightness = 0.0
    # The same of the distance to the photo's mean grey.
    config.augment.contrast = 0.0
    # The same of the distance to each pixel's grey.
    config.augment.saturation = 0.0
    # Turns the hue by up to this share of a turn either way; at most 0.5.
    config.augment.hue = 0.0
    # Probability to paint a random box mid-grey.
    config.augment.erase = 0.0
    # Share of the area of the box that is erased, uniform from low to high.
    config.augment.erase_area = (0.02, 0.33)
    # Width / height of the box that is erased, log-uniform.
    config.augment.erase_ratio = (0.3, 3.3)
    # Blends each photo and its target with another's, with a share drawn from Beta(a, a); 0: off.
    config.augment.mixup = 0.0
    # Pastes a box of another photo, of a share drawn from Beta(a, a), and mixes targets by area;
    # 0: off. With mixup on as well, a coin for each photo decides.
    config.augment.cutmix = 0.0

    config.loss = ConfigDict()
    # Weight of the teacher's probabilities as targets, the label having the rest: 0 to 1.
    config.loss.soft_weight = 0.0
    # Divides the student's and the teacher's logits in that part, whose weight grows by its square.
    config.loss.temperature = 1.0
    # q of the generalised cross-entropy (1 - p^q) / q, which trusts labels less; 0: the ordinary.
    config.loss.generalised_q = 0.0
    # Rows of P(label | truth), on the command line '((0.8,0.1,0.1),(0.1,0.8,0.1),(0,0.1,0.9))': the
    # loss is corrected for such labels; empty: not.
    config.loss.noise_matrix = ()
    # Added to the logits while training: `none`, `prior` (log of the shares of the classes in the
    # training split), or numbers `-0.5,0,0.5`.
    config.loss.logit_adjustment = "none"
    # Share of each target that is spread evenly over the classes.
    config.loss.label_smoothing = 0.2
    # `none`, `balanced` (n / (classes * count), of the training split), or numbers `1.9,1.4,0.6`.
    # Weighted losses are divided by the batch size, as in Keras.
    config.loss.class_weights = "balanced"

    config.optimizer = ConfigDict()
    # `radam`, `adamw`, `lion`, `sgd`, whose momentum is b1, or `muon`, which orthogonalises the
    # updates of the blocks' matrices and leaves the rest to Adam, both with Nesterov's momentum.
    config.optimizer.name = "radam"
    # Decay of the moving average of gradients; of lion, that average's weight in the update.
    config.optimizer.b1 = 0.9
    # Decay of the moving average of their squares; of lion, of the gradients themselves.
    config.optimizer.b2 = 0.999
    # Added to the denominator: 1e-7 in tensorflow-addons' RectifiedAdam; 1e-8 is optax's default.
    config.optimizer.eps = 1e-7
    # Share that parameters lose at each step, times the learning rate; decoupled from the
    # gradient's moments.
    config.optimizer.weight_decay = 0.0
    # What decays: `all`, or `kernels`: not biases, norms, positions and the class token.
    config.optimizer.decays = "all"
    # Multiplies the learning rate once for each block from a parameter to the head, its own
    # included, and once more for embeddings and positions; 1: none.
    config.optimizer.layer_decay = 1.0
    # Clips gradients to this global norm; 0: no clipping.
    config.optimizer.clip_norm = 0.0

    # Parts that a batch is computed in, one after another, to save memory; one update for all.
    config.accumulate = 1
    # Decay of a moving average of the parameters, evaluated beside them; 0: none. It is
    # min(ema_decay, (1 + step) / (10 + step)), so that early steps are forgotten.
    config.ema_decay = 0.0

    # The original: the head alone for one epoch, then everything.
    config.stages = (stage(trainable="head", epochs=1.0), stage(epochs=5.0))

    config.validation = ConfigDict()
    # Validates each N steps, and always at the end; 0: not by steps.
    config.validation.every_steps = 0
    # Validates at each N-th end of an epoch too; 0: not by epochs.
    config.validation.every_epochs = 1
    # Photos at a time, all devices of all processes together.
    config.validation.batch_size = 256
    # Selects the best checkpoint: `macro_f1`, `accuracy`, `binary_accuracy` (negative against
    # positive, the neutral probability dropped) or `log_loss`.
    config.validation.metric = "macro_f1"
    # Whose metric that is, and what best.npz holds: `raw` parameters or their average, `ema`.
    config.validation.weights = "raw"

    config.early_stopping = ConfigDict()
    # Ends the run after this many validations without an improvement by more than min_delta of the
    # metric; 0: trains to the end.
    config.early_stopping.patience = 0
    # The least that counts as an improvement.
    config.early_stopping.min_delta = 0.0

    # How many of the latest checkpoints to keep beside the best.
    config.keep_latest = 1
    # Steps between lines of the training metrics.
    config.log_every = 50

    # Devices along each axis; -1: all that are left.
    config.mesh = ConfigDict()
    # Each has a part of the batch.
    config.mesh.data = -1
    # Each has a part of the batch, and of parameters and optimiser state as well.
    config.mesh.fsdp = 1
    return config
